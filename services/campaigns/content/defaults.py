"""The words of a store that has not written its own yet: three reminders."""

from pathlib import Path

from services.campaigns.content.mail import Templates

_FOLDER = Path(__file__).parent / "default_templates"

_WORDS = (
    {
        "subject": "You left something in your cart",
        "title": "Your cart is waiting",
        "preheader": "Everything is still where you left it.",
        "lead": "You left a few things in your cart. We have kept them for you, so you can go on where you stopped.",
        "button": "Back to your cart",
    },
    {
        "subject": "Still thinking it over?",
        "title": "Can we help?",
        "preheader": "Answer this message if you have a question.",
        "lead": "Your cart is still here. If something is unclear, about a size, the delivery or a return, just answer this message.",
        "button": "See your cart",
    },
    {
        "subject": "Last reminder about your cart",
        "title": "Before we let it go",
        "preheader": "This is our last message about this cart.",
        "lead": "This is our last message about this cart. If you still want these things, they are one step away.",
        "button": "Finish your order",
    },
)


def default_templates() -> tuple[Templates, ...]:
    html = (_FOLDER / "mail.html.liquid").read_text()
    text = (_FOLDER / "mail.text.liquid").read_text()
    return tuple(Templates(words["subject"], _filled(html, words), _filled(text, words)) for words in _WORDS)


def _filled(frame: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        frame = frame.replace(f"[[{name}]]", value)
    return frame
