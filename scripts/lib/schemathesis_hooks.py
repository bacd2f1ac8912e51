"""What no JSON schema can say, so that what is meant to be sound is sound: times are near
now and in order, the organization is the token's, a free object is small and has no U+0000,
a batch has an event and one key, a session has the id of its address."""

from datetime import datetime, timezone

import schemathesis

FREE = {"command_args", "context", "metadata", "dimensions"}
LISTS = ("command_executions", "agent_interactions", "productivity_metrics", "user_sessions")


def event(fields):
    for name in ("organization_id", "event_id"):
        fields.pop(name, None)
    if "timestamp" in fields:
        fields["timestamp"] = datetime.now(timezone.utc).isoformat()
    # A start without a session_start starts now.
    fields.pop("session_end", None)
    for name in FREE & fields.keys():
        if isinstance(fields[name], dict):
            fields[name] = {"a": [1.5, "b", {"c": None}]}


def body(data):
    if isinstance(data, list):
        for element in data:
            body(element)
    elif isinstance(data, dict) and "specversion" in data:
        if data.get("time"):
            data["time"] = datetime.now(timezone.utc).isoformat()
        if isinstance(data.get("data"), dict):
            event(data["data"])
    elif isinstance(data, dict):
        event(data)
        lists = [data[name] for name in LISTS if isinstance(data.get(name), list)]
        for element in (element for elements in lists for element in elements):
            if isinstance(element, dict):
                event(element)


@schemathesis.hook
def before_call(context, case, kwargs):
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive:
        return
    if isinstance(case.body, (dict, list)):
        body(case.body)
    if isinstance(case.body, dict) and case.path.endswith("/batch"):
        case.body.pop("timestamp", None)
        case.body.pop("batch_id", None)
        if not any(case.body.get(name) for name in LISTS):
            case.body["productivity_metrics"] = [{"metric_type": "error_rate", "metric_value": 1}]
    if isinstance(case.body, dict) and case.path.endswith("/{session_id}"):
        case.body.pop("session_id", None)
