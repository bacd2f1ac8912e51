//! What receipts and waiting add to the API reference.

use utoipa::{
    Modify,
    openapi::{
        Object, RefOr, Required, Type,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        schema::ObjectBuilder,
    },
};

/// Adds to every call that posts events how to wait, and its further answers.
pub(crate) struct Waiting;

impl Modify for Waiting {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        for item in api.paths.paths.values_mut() {
            for call in [&mut item.post, &mut item.put].into_iter().flatten() {
                let posts = call.tags.iter().flatten().any(|tag| tag == "ingest");
                if posts && call.responses.responses.contains_key("202") {
                    describe(call);
                }
            }
        }
    }
}

fn describe(call: &mut Operation) {
    let parameters = call.parameters.get_or_insert_default();
    parameters.push(RefOr::T(parameter(
        "wait",
        ParameterIn::Query,
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["stored"]))
            .build(),
        "Answers when the events are in the database (200), but not later than after WAIT_STORED_MS (five seconds) or what Prefer says: then 202, and GET /api/metrics/events/{event_id} tells on. Without a database, or when too many wait, at once",
    )));
    parameters.push(RefOr::T(parameter(
        "Prefer",
        ParameterIn::Header,
        Object::with_type(Type::String),
        "`wait=N` (RFC 7240): as ?wait=stored, for N seconds at most. The answer's Preference-Applied says what was heeded: no wait is longer than the request may take",
    )));
    let responses = &mut call.responses.responses;
    if let Some(RefOr::T(mut stored)) = responses.get("202").cloned() {
        "Waited for: all events are in the database".clone_into(&mut stored.description);
        responses.insert("200".to_owned(), RefOr::T(stored));
    }
}

fn parameter(name: &str, place: ParameterIn, schema: Object, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .schema(Some(schema))
        .description(Some(description))
        .build()
}
