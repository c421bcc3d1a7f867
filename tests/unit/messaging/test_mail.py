"""An e-mail's bytes: no header is added by what stands in another, and links are found wherever they are."""

from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.messaging.links import CLICK, RESTORE, MessageLinks
from services.messaging.mail import BadMail, Letter, add_pixel, build, parts_of, rewrite_links
from trolleybus.security import BadLink, Links

LETTER = Letter(
    message_id="6f1c3b0a-7a52-5d0e-9f65-3c1f5b1f8d21",
    store_id="store-1",
    campaign_id="campaign-1",
    recipient="shopper@example.com",
    sender_address="hello@shop.example.com",
    sender_name="Example shop",
    reply_to="help@shop.example.com",
    subject="You left something",
    text="Grüße",
    html="<p>Grüße</p>",
    unsubscribe_url="https://messaging.example.com/u/" + "a" * 150,
    sent_at=1_780_000_000_000,
)
HEADERS = [
    "list-unsubscribe", "list-unsubscribe-post", "from", "to", "reply-to", "subject", "date", "message-id",
    "auto-submitted", "feedback-id", "mime-version", "content-type",
]  # fmt: skip
LINKS = MessageLinks(Links(["a signing key that is long enough for tests"]), "https://messaging.example.com")


@given(subject=st.text(), name=st.text(), text=st.text(), html=st.text())
def test_P8_no_text_adds_a_header(subject: str, name: str, text: str, html: str) -> None:
    raw = build(replace(LETTER, subject=subject, sender_name=name, text="x" + text, html="x" + html))
    mail = message_from_bytes(raw, policy=default)
    assert sorted(header.lower() for header in mail.keys()) == sorted(HEADERS)  # noqa: SIM118 - repeated headers count
    assert mail["From"].addresses[0].addr_spec == "hello@shop.example.com"
    assert mail["To"].addresses[0].addr_spec == "shopper@example.com"


@pytest.mark.parametrize(
    "address", ["a@b.example\r\nBcc: c@d.example", "a@b.example, c@d.example", "no address", "ü@b.example"]
)
def test_P8_what_is_no_address_makes_no_mail(address: str) -> None:
    with pytest.raises(BadMail):
        build(replace(LETTER, recipient=address))
    with pytest.raises(BadMail):
        build(replace(LETTER, sender_address=address))


BODY = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]))


@given(text=st.lists(BODY), html=st.lists(BODY))
def test_what_is_written_is_what_is_read(text: list[str], html: list[str]) -> None:
    letter = replace(LETTER, text="x" + "\n".join(text) + "x", html="x" + "\r\n".join(html) + "x")
    parts = parts_of(build(letter))
    assert parts["text"].replace("\r\n", "\n") == letter.text
    assert parts["html"].replace("\r\n", "\n") == letter.html.replace("\r\n", "\n")


@given(subject=BODY)
def test_a_subject_is_read_as_it_was_written(subject: str) -> None:
    mail = message_from_bytes(build(replace(LETTER, subject=subject)), policy=default)
    assert " ".join(str(mail["Subject"]).split()) == " ".join(" ".join(subject.split())[:500].split())


def test_the_one_click_headers_stand_unfolded_on_a_line_each() -> None:
    lines = build(LETTER).split(b"\r\n")
    assert lines[0] == f"List-Unsubscribe: <{LETTER.unsubscribe_url}>".encode()
    assert lines[1] == b"List-Unsubscribe-Post: List-Unsubscribe=One-Click"
    with pytest.raises(BadMail):
        build(replace(LETTER, unsubscribe_url="https://x.example/>\r\nBcc: c@d.example"))


def test_a_mail_has_both_parts_its_ids_and_short_lines() -> None:
    raw = build(replace(LETTER, subject="Ünïcödé " * 40, html="<p>" + "ä" * 5000 + "</p>"))
    mail = message_from_bytes(raw, policy=default)
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert mail["Message-ID"] == f"<{LETTER.message_id}@shop.example.com>"
    assert all(len(line) <= 78 for line in raw.split(b"\r\n")[2:])
    assert raw.isascii()


def test_links_go_by_way_of_messaging_and_the_rest_stays_byte_for_byte() -> None:
    html = (
        "<!-- <a href='https://comment.example'> -->\n<style>a{}</style>\n"
        '<A class="x>y" HREF = "https://shop.example.com/?a=1&amp;b=2">one</A>\n'
        "<a href='mailto:x@example.com'>two</a><a href=https://bare.example>three</a><a data-href='https://no.example'>4</a>"
        '<img src="https://img.example/x.png"><a href="https://messaging.example.com/r/t">own</a>'
    )
    seen: list[str] = []

    def rewrite(url: str) -> str:
        seen.append(url)
        return url if LINKS.is_own(url) else f"https://m.example/c/{len(seen)}"

    assert rewrite_links(html, rewrite) == (
        "<!-- <a href='https://comment.example'> -->\n<style>a{}</style>\n"
        '<A class="x>y" HREF = "https://m.example/c/1">one</A>\n'
        "<a href='mailto:x@example.com'>two</a><a href=\"https://m.example/c/2\">three</a><a data-href='https://no.example'>4</a>"
        '<img src="https://img.example/x.png"><a href="https://messaging.example.com/r/t">own</a>'
    )
    assert seen == ["https://shop.example.com/?a=1&b=2", "https://bare.example", "https://messaging.example.com/r/t"]


@given(st.text())
def test_rewriting_to_the_same_target_loses_nothing(html: str) -> None:
    assert rewrite_links(html, lambda url: url).replace('"', "") == html.replace('"', "") or "<a" in html.lower()


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_a_link_with_any_target_text_is_rewritten(path: str) -> None:
    url = "https://shop.example.com/" + path.replace("\x00", "")
    seen: list[str] = []
    rewrite_links(f'<a href="{escape(url)}">x</a>', lambda target: seen.append(target) or "https://m.example")  # type: ignore[func-returns-value]
    assert len(seen) == 1


def test_the_pixel_stands_at_the_end_of_the_body() -> None:
    assert add_pixel("<body>x</body>", "https://m.example/o/1").index("<img") == len("<body>x")
    assert add_pixel("x", "https://m.example/o/1").startswith("x<img")


def test_P8_only_links_that_we_signed_lead_anywhere() -> None:
    url = LINKS.url(CLICK, "m", "https://shop.example.com/a?b=c")
    token = url.rpartition("/")[2]
    assert LINKS.read(CLICK, token) == ("m", "https://shop.example.com/a?b=c")
    for bad in (
        token[:-1],
        token + "x",
        "",
        "x.y",
        LINKS.url(RESTORE, "m", "https://shop.example.com").rpartition("/")[2],
    ):
        with pytest.raises(BadLink):
            LINKS.read(CLICK, bad)
    for target in ("javascript:alert(1)", "data:text/html,x", "//evil.example", "ftp://x.example"):
        with pytest.raises(BadLink):
            LINKS.read(CLICK, LINKS.url(CLICK, "m", target).rpartition("/")[2])
