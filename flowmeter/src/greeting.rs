//! What a person sees after `make run`: a token, and lines that work when pasted.

use std::net::SocketAddr;

use platform::config::{JwtConfig, JwtKeys};
use uuid::Uuid;

use crate::token::admin_token;

/// An organization to try things with, the same at every start so that its data stays.
const ORGANIZATION: Uuid = Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0001);
const USER: Uuid = Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0002);

#[allow(clippy::print_stdout, reason = "a person reads it")]
pub(crate) fn print(address: SocketAddr, jwt: &JwtConfig) -> anyhow::Result<()> {
    let (token, value) = match &jwt.keys {
        JwtKeys::Secret(_) => (
            "A token for an administrator, valid for a day:",
            admin_token(jwt, ORGANIZATION, USER)?,
        ),
        JwtKeys::Jwks(_) => (
            "Tokens come from the issuer whose keys JWT_JWKS_URL names; take an administrator's:",
            "...".to_owned(),
        ),
    };
    println!(
        r#"
Flowmeter is up. ^C stops it. Its dashboard, which asks for the token below:

  http://{address}/

{token}

  export FLOWMETER_TOKEN={value}

Post an event, and a moment later read it back:

  curl -sS http://{address}/api/metrics/commands \
    -H "Authorization: Bearer $FLOWMETER_TOKEN" -H 'Content-Type: application/json' \
    -d '{{"user_id":"{USER}","command_name":"build","execution_time_ms":1200,"status":"success"}}'

  sleep 1; curl -sS "http://{address}/api/metrics/aggregated?aggregation_window=1m" \
    -H "Authorization: Bearer $FLOWMETER_TOKEN"

More: http://{address}/api/docs, /api/openapi.json, /metrics, and flowmeter load --help.
"#
    );
    Ok(())
}
