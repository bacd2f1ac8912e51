//! The description of the service in OpenAPI.

use utoipa::OpenApi;

/// Placeholder.
pub fn openapi() -> utoipa::openapi::OpenApi {
    #[derive(OpenApi)]
    #[openapi()]
    struct Description;
    Description::openapi()
}
