"""Messages: all that happened to one."""

from fastapi import APIRouter, Request, Response

from services.api.etags import answer_unless_known, etag
from services.api.identifiers import PathId
from services.api.incoming import StrictRoute
from services.api.message_views import MessageView
from services.api.parts import PreparedParts
from shared.errors import NotFound

router = APIRouter(prefix="/api/v1/messages", tags=["messages"], route_class=StrictRoute)


@router.get("/{message_id}", summary="Show a message with its attempts", response_model=MessageView)
async def show_message(message_id: PathId, request: Request, parts: PreparedParts) -> Response:
    message = await parts.store.messages.get(message_id)
    try:
        await parts.store.mailings.get(message.mailing_id)
    except NotFound as error:  # the messages of a deleted mailing go away with it
        raise NotFound("message", message_id) from error
    view = MessageView.of(message)
    return answer_unless_known(request, view, etag("message", view.model_dump(mode="json")))
