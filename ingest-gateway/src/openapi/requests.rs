//! What the bodies of session calls and CloudEvents are, told from the events' schemas.

use schemas::EventKind;
use serde_json::json;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        Ref, RefOr,
        schema::{
            AdditionalProperties, KnownFormat, Object, ObjectBuilder, OneOfBuilder, Schema,
            SchemaFormat, SchemaType, Type,
        },
    },
};

use super::events::{self, UserSession};
use crate::cloud_events::type_of;

/// The schemas that some schema refers to, by name.
type Schemas = Vec<(String, RefOr<Schema>)>;

/// What every call takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct Retry {
    /// Events without an `event_id` get ids that follow from this key, the same for the same
    /// caller: a request sent again counts once. The same key with another payload is
    /// refused (422).
    #[param(
        rename = "Idempotency-Key",
        required = false,
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]([ -~]*[!-~])?$"
    )]
    key: String,
}

fn session() -> Object {
    match UserSession::schema() {
        RefOr::T(Schema::Object(object)) => object,
        _ => unreachable!("a struct is an object"),
    }
}

/// The session that starts.
pub(crate) struct SessionStart;

impl PartialSchema for SessionStart {
    fn schema() -> RefOr<Schema> {
        let mut object = session();
        object.description = Some(
            "A session that starts: a `UserSession` of the kind `started`. Without a `session_id` it gets the event's id; without a `session_start` it starts at its `timestamp`.".to_owned(),
        );
        object.properties.remove("kind");
        object
            .required
            .retain(|name| name != "kind" && name != "session_id");
        if let Some(RefOr::T(Schema::Object(id))) = object.properties.get_mut("session_id") {
            id.schema_type = SchemaType::from_iter([Type::String, Type::Null]);
        }
        object.into()
    }
}

impl ToSchema for SessionStart {
    fn schemas(schemas: &mut Schemas) {
        UserSession::schemas(schemas);
    }
}

/// The session that goes on or ends.
pub(crate) struct SessionUpdate;

impl PartialSchema for SessionUpdate {
    fn schema() -> RefOr<Schema> {
        let mut object = session();
        object.description = Some(
            "A session that goes on or ends: a `UserSession` of the kind that it names, or `ended` if it has a `session_end`, or else `updated`. A `session_id` must be that of the address.".to_owned(),
        );
        object
            .required
            .retain(|name| name != "kind" && name != "session_id");
        if let Some(RefOr::T(Schema::Object(id))) = object.properties.get_mut("session_id") {
            id.schema_type = SchemaType::from_iter([Type::String, Type::Null]);
        }
        let kind = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .enum_values(Some([json!("updated"), json!("ended"), json!(null)]));
        object.properties.insert("kind".to_owned(), kind.into());
        object.into()
    }
}

impl ToSchema for SessionUpdate {
    fn schemas(schemas: &mut Schemas) {
        UserSession::schemas(schemas);
    }
}

/// A CloudEvent of one of our types.
pub(crate) struct CloudEvent;

impl PartialSchema for CloudEvent {
    fn schema() -> RefOr<Schema> {
        let mut any = OneOfBuilder::new().description(Some(
            "A CloudEvent 1.0 of one of the four types. Attributes beyond those listed are extensions: they are taken and ignored. A `time` is the event's `timestamp` if `data` has none. An `event_id` in `data` must be the id that the event has: the CloudEvent's `id` if that is a UUID, or else a UUIDv5 of organization, `source` and `id`.",
        ));
        for kind in EventKind::ALL {
            any = any.item(envelope(kind));
        }
        any.into()
    }
}

impl ToSchema for CloudEvent {
    fn schemas(schemas: &mut Schemas) {
        add::<events::CommandExecution>(schemas);
        add::<events::AgentInteraction>(schemas);
        add::<events::ProductivityMetric>(schemas);
        add::<events::UserSession>(schemas);
    }
}

fn add<T: ToSchema>(schemas: &mut Schemas) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

fn envelope(kind: EventKind) -> Schema {
    let data = match kind {
        EventKind::CommandExecution => events::CommandExecution::name(),
        EventKind::AgentInteraction => events::AgentInteraction::name(),
        EventKind::ProductivityMetric => events::ProductivityMetric::name(),
        EventKind::UserSession => events::UserSession::name(),
    };
    let names = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[a-z0-9]+$"));
    ObjectBuilder::new()
        .title(Some(type_of(kind)))
        .property("specversion", one_of(&["1.0"]))
        .property("id", text(r"^[^\u0000-\u001f\u007f-\u009f]+$"))
        .property("source", text(URI_REFERENCE))
        .property("type", one_of(&[type_of(kind)]))
        .property("time", optional(time()))
        .property("datacontenttype", optional(text(JSON_TYPE)))
        .property("dataschema", optional(text(URI_REFERENCE)))
        .property(
            "subject",
            optional(text(r"^[^\u0000-\u001f\u007f-\u009f]+$")),
        )
        .property("data", Ref::from_schema_name(data))
        .required("specversion")
        .required("id")
        .required("source")
        .required("type")
        .required("data")
        .property_names(Some(names.build()))
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
        .build()
        .into()
}

const URI_REFERENCE: &str = r"^([A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+$";
const JSON_TYPE: &str = r"^[A-Za-z0-9!#$&^_.+-]+/([A-Za-z0-9!#$&^_.+-]*\+)?[Jj][Ss][Oo][Nn]$";

fn one_of(values: &[&str]) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(values.iter().map(|value| json!(value))))
        .build()
}

fn text(pattern: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .build()
}

fn time() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .build()
}

fn optional(mut object: Object) -> Object {
    object.schema_type = SchemaType::from_iter([Type::String, Type::Null]);
    object
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, to_value};

    use super::*;

    fn fields(schema: &Value) -> Vec<&String> {
        schema["properties"].as_object().unwrap().keys().collect()
    }

    #[test]
    fn a_session_call_takes_what_a_session_has() {
        let all = to_value(UserSession::schema()).unwrap();
        let start = to_value(SessionStart::schema()).unwrap();
        let update = to_value(SessionUpdate::schema()).unwrap();
        let mut without_kind = fields(&all);
        without_kind.retain(|name| *name != "kind");
        assert_eq!(fields(&start), without_kind);
        assert_eq!(fields(&update), fields(&all));
        for schema in [start, update] {
            assert_eq!(schema["required"], json!(["user_id"]));
            assert_eq!(schema["additionalProperties"], false);
        }
    }
}
