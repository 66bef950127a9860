"""A page in this process, whose models are generators that are there already."""

from collections.abc import Mapping

from draggan.registry.cache import ModelCache
from draggan.stylegan2.generator import Generator
from draggan.web import app, server
from draggan.web.page import Page
from draggan.web.server import ServerConfig


class Shelf(ModelCache):
    """One generator under every name, but for others under names of their own."""

    def __init__(self, generator: Generator, others: Mapping[str, Generator] = {}) -> None:
        super().__init__()
        self.generator = generator
        self.others = others

    def sha256(self, name_or_path):
        return ""

    def load(self, name_or_path, device="auto"):
        return self.others.get(name_or_path, self.generator)


def serve(generator: Generator, port: int, max_users: int) -> tuple[Page, str]:
    """The page, to be closed, and its address."""
    page = app.build(Shelf(generator), "cpu", "plush-256", max_users=max_users)
    return page, server.serve(page, ServerConfig(port=port))
