"""The frame of every service's HTTP side: one app factory, one form of error, health, metrics, safe headers."""

from trolleybus.http.app import create_app
from trolleybus.http.problems import FieldError, Problem, json_body_required
from trolleybus.readiness import PartStatus, Readiness

__all__ = ["FieldError", "PartStatus", "Problem", "Readiness", "create_app", "json_body_required"]
