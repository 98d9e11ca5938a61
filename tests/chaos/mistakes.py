"""Mistakes."""


def plant_mistake(name: str, service: str) -> None:
    raise NotImplementedError
