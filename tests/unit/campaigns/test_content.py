"""Templates: what they may cost, what they may say, and what is wrong with them."""

import time
import tracemalloc

import pytest

from services.campaigns.audience.domain.contact import Contact
from services.campaigns.content import mail, samples
from services.campaigns.content.defaults import default_templates
from services.campaigns.content.formats import locale_of, money
from services.campaigns.content.links import MessageLinks, own, restore_target
from services.campaigns.content.liquid import LARGEST_TEMPLATE, TemplateError, render
from services.campaigns.content.variables import variables
from trolleybus.contracts.cart import CartLine
from trolleybus.contracts.money import Money
from trolleybus.contracts.recovery import CartAbandoned
from trolleybus.contracts.stores import StoreConfig
from trolleybus.security import Links

STORE = StoreConfig(
    store_id="shop", name="Cups & Co", currency="EUR", language="es-ES", shop_url="https://shop.example.com"
)


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in (1..100000000) %}x{% endfor %}",
        "{% for i in (1..200) %}{% for j in (1..200) %}x{% endfor %}{% endfor %}",
        "{% assign a = (1..1000000000) | reverse %}",
        "{{ (1..1000000000000000000000) | size }}",
        "{% assign a = 'x' %}{% for i in (1..60) %}{% assign a = a | append: a %}{% endfor %}",
        "{% assign a = 'x' %}{% for i in (1..15) %}{% assign a = a | append: a %}{% endfor %}{{ a | replace: 'x', a }}",
        "{% assign a = 'x' %}{% for i in (1..15) %}{% assign a = a | append: a %}{% endfor %}{{ a | replace: '', a }}",
        "{% assign a = 'x' %}{% for i in (1..12) %}{% assign a = a | append: a %}{% endfor %}"
        "{{ a | split: '' | join: a }}",
        "{% assign a = 9 %}{% for i in (1..60) %}{% assign a = a | times: a %}{% endfor %}",
        "{% for i in (1..9000) %}{{ 'a long line of text, again and again' }}{% endfor %}",
        "{% capture a %}" + "x" * 300_000 + "{% endcapture %}",
        "{% tablerow i in (1..100000000) %}x{% endtablerow %}",
        "{% include 'other' %}",
        "{% render 'other' %}",
        "{% if true %}" * 40 + "{% endif %}" * 40,
    ],
)
def test_a_template_that_costs_too_much_is_refused_at_once(source: str) -> None:
    began = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(TemplateError):
            render(source, {}, escape=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024 * 1024
    assert time.monotonic() - began < 5


def test_a_template_that_is_slow_within_all_other_limits_is_stopped_by_the_clock() -> None:
    slow = "{% if customer == store %}{% endif %}" * 3_000
    began = time.monotonic()
    with pytest.raises(TemplateError, match="too long"):
        render(
            "{% for i in (1..100) %}{% for j in (1..99) %}" + slow + "{% endfor %}{% endfor %}",
            {"customer": "a", "store": "b"},
            escape=False,
        )
    assert time.monotonic() - began < 10


def test_what_variables_hold_is_escaped_in_html_and_not_in_text() -> None:
    given = {"name": "<b>&"}
    assert render("{{ name }}", given, escape=True) == "&lt;b&gt;&amp;"
    assert render("{{ name }}", given, escape=False) == "<b>&"


def test_an_error_names_its_line() -> None:
    with pytest.raises(TemplateError) as caught:
        render("one\ntwo {{ customer.nickname }}", {"customer": {}}, escape=True)
    assert caught.value.line == 2
    assert "nickname" in caught.value.detail


def test_a_template_over_the_largest_size_is_refused() -> None:
    with pytest.raises(TemplateError, match="characters"):
        render("x" * (LARGEST_TEMPLATE + 1), {}, escape=True)


def test_the_default_templates_have_no_fault() -> None:
    for templates in default_templates():
        assert list(mail.faults(templates, samples.full(STORE), samples.sparse(STORE))) == []


def test_a_default_mail_says_what_is_in_the_cart_in_the_shoppers_way() -> None:
    written = mail.write(default_templates()[0], samples.full(STORE))
    assert "49,90\xa0€" in written.html
    assert "Cups &amp; Co" in written.html
    assert "Cup &amp; saucer" in written.html
    assert "2 x Cup & saucer: 25,00\xa0€" in written.text
    assert "<script" not in written.html


def test_faults_name_field_and_line() -> None:
    broken = mail.Templates("Hello", "one\n{{ nothing }}{{ unsubscribe_url }}", "{{ unsubscribe_url }}")
    assert [(fault.field, fault.line) for fault in mail.faults(broken, samples.full(STORE))] == [("html", 2)]


def test_mail_without_an_unsubscribe_link_is_a_fault() -> None:
    found = list(mail.faults(mail.Templates("Hello", "<p>Hello</p>", "Hello"), samples.full(STORE)))
    assert [fault.field for fault in found] == ["html", "text"]


def test_a_subject_is_one_line() -> None:
    written = mail.write(mail.Templates("One\r\nBcc: two@example.com", "h", "t"), {})
    assert written.subject == "One Bcc: two@example.com"


def test_a_subject_that_comes_out_empty_cannot_be_sent() -> None:
    with pytest.raises(mail.Unwritable):
        mail.write(mail.Templates("{% if false %}x{% endif %}", "h", "t"), {})


def test_money_is_written_as_the_reader_expects() -> None:
    assert money(Money(minor=123450, currency="EUR"), locale_of("de-DE")) == "1.234,50\xa0€"
    assert money(Money(minor=1234, currency="JPY"), locale_of("en-US")) == "¥1,234"
    assert money(Money(), locale_of("en")) == ""


def test_a_language_that_nobody_knows_falls_back() -> None:
    assert str(locale_of("xx-YY", "", "es-ES")) == "es_ES"
    assert str(locale_of("de-XX")) == "de"
    assert str(locale_of("../../etc", "'")) == "en"


def test_links_lead_to_the_stores_own_hosts_only() -> None:
    assert own(STORE, "https://shop.example.com/kettle") == "https://shop.example.com/kettle"
    assert own(STORE, "https://www.shop.example.com/kettle") == "https://www.shop.example.com/kettle"
    for foreign in (
        "https://evil.example.net/",
        "javascript:alert(1)",
        "https://shop.example.com@evil.example.net/",
        "//x",
    ):
        assert own(STORE, foreign) == ""


def test_a_picture_that_is_no_web_address_is_left_out() -> None:
    cart = CartAbandoned(lines=(CartLine(name="Cup", image_url="javascript:alert(1)"),))
    given = variables(STORE, Contact(), cart, restore_url="r", unsubscribe_url="u")
    assert given["cart"]["lines"][0]["image"] == ""


def test_the_cart_is_restored_by_the_stores_link_else_by_its_own_address_else_at_the_shop() -> None:
    cart = CartAbandoned(cart_id="a/b", cart_url="https://shop.example.com/cart?x=1")
    with_link = StoreConfig(restore_url="https://shop.example.com/cart/{cart_id}")
    assert restore_target(with_link, cart) == "https://shop.example.com/cart/a%2Fb"
    assert restore_target(STORE, cart) == "https://shop.example.com/cart?x=1"
    assert restore_target(STORE, CartAbandoned(cart_url="https://evil.example.net/")) == "https://shop.example.com"


def test_a_messages_links_are_signed_for_their_purpose() -> None:
    signed = Links(["k" * 32])
    made = MessageLinks(signed, "http://messaging.example.com")
    token = made.restore("message", "https://shop.example.com/").rpartition("/r/")[2]
    assert signed.read("restore", token) == {"m": "message", "u": "https://shop.example.com/"}
    token = made.unsubscribe("message").rpartition("/u/")[2]
    assert signed.read("unsubscribe", token) == {"m": "message"}
