//! How a record says which schema it was written with.
//!
//! Confluent's clients know two ways. The older: the value begins with a zero
//! byte and the schema's id, big-endian. The newer: a header holds a one byte and
//! the schema's GUID (or a zero byte and the id), and the value is Avro alone. As
//! there, a header goes before a prefix.

use uuid::Uuid;

/// The header that names the schema of a record's value. The first of that name counts.
pub const SCHEMA_ID_HEADER: &str = "__value_schema_id";

const ID_MAGIC: u8 = 0;
const GUID_MAGIC: u8 = 1;

/// A schema, as a record names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemaRef {
    /// The registry's number.
    Id(i32),
    /// The schema's own identifier.
    Guid(Uuid),
}

/// Why a record names no schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The value is shorter than the prefix.
    #[error("{0} bytes are too few for a schema id")]
    TooShort(usize),
    /// The value begins with another byte than zero.
    #[error("the value begins with byte {0:#04x}, not with a schema id")]
    UnknownMagic(u8),
    /// The header is neither a GUID nor an id.
    #[error("the header {SCHEMA_ID_HEADER} holds no schema id")]
    BadHeader,
    /// An id that no registry gives.
    #[error("the schema id {0} is negative")]
    NegativeId(i32),
}

/// Separates a record's value into the reference to its schema and the Avro bytes.
///
/// # Errors
/// See [`FramingError`].
pub fn split<'a>(
    payload: &'a [u8],
    header: Option<&[u8]>,
) -> Result<(SchemaRef, &'a [u8]), FramingError> {
    if let Some(header) = header {
        return Ok((from_header(header)?, payload));
    }
    let (&[magic, a, b, c, d], avro) = payload
        .split_first_chunk::<5>()
        .ok_or(FramingError::TooShort(payload.len()))?;
    if magic != ID_MAGIC {
        return Err(FramingError::UnknownMagic(magic));
    }
    Ok((id([a, b, c, d])?, avro))
}

/// Puts the older prefix before Avro bytes.
pub fn frame(id: i32, avro: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(5 + avro.len());
    framed.push(ID_MAGIC);
    framed.extend_from_slice(&id.to_be_bytes());
    framed.extend_from_slice(avro);
    framed
}

fn from_header(header: &[u8]) -> Result<SchemaRef, FramingError> {
    match header.split_first() {
        Some((&GUID_MAGIC, guid)) => Uuid::from_slice(guid)
            .map(SchemaRef::Guid)
            .map_err(|_| FramingError::BadHeader),
        Some((&ID_MAGIC, bytes)) => id(bytes.try_into().map_err(|_| FramingError::BadHeader)?),
        _ => Err(FramingError::BadHeader),
    }
}

fn id(bytes: [u8; 4]) -> Result<SchemaRef, FramingError> {
    match i32::from_be_bytes(bytes) {
        id if id >= 0 => Ok(SchemaRef::Id(id)),
        id => Err(FramingError::NegativeId(id)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_prefix_is_a_zero_byte_and_a_big_endian_id() {
        assert_eq!(frame(258, b"avro"), b"\0\0\0\x01\x02avro");
    }

    /// The bytes that confluent-kafka's `SchemaId.guid_to_bytes` writes.
    #[test]
    fn a_header_holds_a_one_byte_and_the_guid_in_network_order() {
        let guid = Uuid::parse_str("89791762-2336-4186-9674-299b90a802e2").unwrap();
        let header = b"\x01\x89\x79\x17\x62\x23\x36\x41\x86\x96\x74\x29\x9b\x90\xa8\x02\xe2";
        assert_eq!(
            split(b"avro", Some(header)),
            Ok((SchemaRef::Guid(guid), b"avro".as_slice()))
        );
        assert_eq!(
            split(b"avro", Some(b"\0\0\0\0\x07")),
            Ok((SchemaRef::Id(7), b"avro".as_slice()))
        );
    }

    #[test]
    fn what_is_not_framed_is_told_apart() {
        assert_eq!(split(b"", None), Err(FramingError::TooShort(0)));
        assert_eq!(split(b"\0\0\0\0", None), Err(FramingError::TooShort(4)));
        assert_eq!(
            split(b"{\"a\":1}", None),
            Err(FramingError::UnknownMagic(b'{'))
        );
        assert_eq!(
            split(b"\0\xff\xff\xff\xff", None),
            Err(FramingError::NegativeId(-1))
        );
        assert_eq!(
            split(b"\0\0\0\0\x01x", Some(b"\x01short")),
            Err(FramingError::BadHeader)
        );
    }

    proptest! {
        #[test]
        fn what_is_framed_comes_apart_again(id in 0..=i32::MAX, avro in any::<Vec<u8>>()) {
            let framed = frame(id, &avro);
            prop_assert_eq!(split(&framed, None), Ok((SchemaRef::Id(id), avro.as_slice())));
        }

        #[test]
        fn garbage_is_an_error_or_a_reference_but_never_a_panic(
            payload in any::<Vec<u8>>(), header in any::<Option<Vec<u8>>>()
        ) {
            if let Ok((_, avro)) = split(&payload, header.as_deref()) {
                prop_assert!(payload.ends_with(avro));
            }
        }
    }
}
