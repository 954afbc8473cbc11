"""The page of the service: one HTML file that loads no other files and sends requests only to the service."""

from pathlib import Path

from yolo.pages.page import render

TEMPLATES = Path(__file__).parent / "templates"
SOURCES = "img-src blob: data:; connect-src 'self'; require-trusted-types-for 'script'"  # no text becomes HTML


def service_page(most_bytes: int, key_needed: bool, stream: bool) -> str:
    """Return the page of a service.

    Args:
        most_bytes: of a request; the page refuses larger files itself.
        key_needed: whether the service needs an API key.
        stream: whether the service has a live video.
    """
    return render(
        TEMPLATES,
        "service.html.jinja",
        sources=SOURCES,
        most_bytes=most_bytes,
        key_needed=key_needed,
        stream=stream,
    )
