"""Access control of the service."""

import pytest

from yolo.serve.http.access import Access, allowed_hosts, check_host, check_key, check_origin, is_key, is_loopback
from yolo.serve.http.refusal import RefusedError


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("localhost.evil.example", False)],
)  # fmt: skip
def test_only_addresses_of_this_machine_are_loopback(host, expected):
    assert is_loopback(host) is expected


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "cam.example"])
def test_on_loopback_its_names_and_those_asked_for_are_allowed(host):
    check_host(Access(hosts=allowed_hosts("127.0.0.1", ["Cam.example"])), host)


@pytest.mark.parametrize(
    "host", [None, "", "evil.example", "127.0.0.1.evil.example", "localhost:8000:1", "localhost@evil", "a b", "[::1"]
)
def test_on_loopback_other_names_are_refused_as_dns_rebinding_sends_them(host):
    with pytest.raises(RefusedError) as refused:
        check_host(Access(hosts=allowed_hosts("127.0.0.1", [])), host)
    assert refused.value.status == 421


def test_elsewhere_any_name_is_allowed_unless_names_are_asked_for():
    check_host(Access(hosts=allowed_hosts("0.0.0.0", [])), "nas.local")
    with pytest.raises(RefusedError):
        check_host(Access(hosts=allowed_hosts("0.0.0.0", ["nas.local"])), "other.local")


@pytest.mark.parametrize(
    "headers", [{"x-api-key": "secret"}, {"authorization": "Bearer secret"}, {"authorization": "bearer  secret "}]
)
def test_the_key_comes_in_a_header(headers):
    check_key(Access("secret"), "/detect", headers, None)


@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": "Secret"}, {"x-api-key": ""}, {"authorization": "Basic secret"}, {"x-api-key": "é"}]
)
@pytest.mark.parametrize("path", ["/detect", "/models", "/metrics", "/stream/stats", "/unknown"])
def test_without_the_right_key_nothing_about_images_is_answered(headers, path):
    with pytest.raises(RefusedError) as refused:
        check_key(Access("secret"), path, headers, "secret")
    assert refused.value.status == 401


def test_a_deepstack_form_may_hold_the_key_but_a_wrong_one_in_a_header_is_refused_at_once():
    check_key(Access("secret"), "/v1/vision/detection", {}, None)
    with pytest.raises(RefusedError) as refused:
        check_key(Access("secret"), "/v1/vision/detection", {"x-api-key": "wrong"}, None)
    assert refused.value.status == 401


def test_the_stream_takes_the_key_in_its_address_and_the_page_needs_none():
    check_key(Access("secret"), "/stream", {}, "secret")
    check_key(Access("secret"), "/", {}, None)
    assert is_key(Access(), None)


def test_a_page_of_another_site_cannot_make_a_browser_ask():
    with pytest.raises(RefusedError):
        check_origin({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"})
    check_origin({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})  # a link to the page
    check_origin({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"})
