"""Validation of what a merge patch made, as strict as that of a body."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from services.api.refusals import refusal_of_validation

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], document: Mapping[str, Any]) -> Model:
    """The document as the model.

    Raises:
        Refusal: 422, it does not fit.
    """
    try:
        return model.model_validate(dict(document))
    except ValidationError as error:
        raise refusal_of_validation(error.errors(include_input=False), place="body") from error
