//! Any Avro value as JSON.

use std::{fmt, fmt::Write};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What `serde_json::Value` reads, and bytes, which it does not.
pub(super) struct Any(pub(super) Value);

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor).map(Self)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    /// JSON has no infinity and no NaN: those are told as text.
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = serde_json::Number::from_f64(value);
        Ok(number.map_or_else(|| value.to_string().into(), Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Value, E> {
        let mut text = String::with_capacity(value.len() * 2);
        for byte in value {
            write!(text, "{byte:02x}").map_err(E::custom)?;
        }
        Ok(text.into())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Any(value)) = access.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Any(value))) = access.next_entry::<String, Any>()? {
            members.insert(name, value);
        }
        Ok(members.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{WriterSchema, decode_json};

    #[test]
    fn every_type_is_shown() {
        let schema = WriterSchema::parse(
            r#"{"type": "record", "name": "R", "fields": [
                {"name": "text", "type": "string"},
                {"name": "some", "type": ["null", "long"]},
                {"name": "none", "type": ["null", "long"]},
                {"name": "bytes", "type": "bytes"},
                {"name": "list", "type": {"type": "array", "items": "boolean"}},
                {"name": "map", "type": {"type": "map", "values": "double"}},
                {"name": "kind", "type": {"type": "enum", "name": "K", "symbols": ["a", "b"]}},
                {"name": "cost", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}}
            ]}"#,
        )
        .unwrap();
        let mut bytes = b"\x04hi\x02\x05\x00\x04\xfe\x01\x04\x01\x00\x00\x02\x02k".to_vec();
        bytes.extend_from_slice(&f64::NAN.to_le_bytes());
        bytes.extend_from_slice(b"\x00\x02\x02\x7b");
        let shown = decode_json(&schema, &bytes).unwrap();
        let expected = json!({
            "text": "hi", "some": -3, "none": null, "bytes": "fe01", "list": [true, false],
            "map": {"k": "NaN"}, "kind": "b", "cost": "1.23",
        });
        assert_eq!(shown, expected);
        bytes.push(0);
        assert!(decode_json(&schema, &bytes).is_err(), "a byte too many");
        assert!(decode_json(&schema, &bytes[..3]).is_err(), "cut off");
    }
}
