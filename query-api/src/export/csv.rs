//! CSV by RFC 4180: a header row, CRLF, UTF-8.
//!
//! Null is an empty cell, an empty text a quoted one. Objects and lists are JSON. A spreadsheet
//! takes a text that begins like a formula for one, so an apostrophe is put before it
//! (<https://owasp.org/www-community/attacks/CSV_Injection>); numbers are no texts and stay.

use super::format::Encoder;
use crate::events::{
    columns::Column,
    value::{Row, Value},
};

/// What a formula, or what hides one, begins with.
const DANGEROUS: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\n'];

/// Rows as lines of cells.
pub(super) struct Csv;

impl Csv {
    pub(super) fn new(columns: &[Column], out: &mut Vec<u8>) -> Self {
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        out.extend_from_slice(names.join(",").as_bytes());
        out.extend_from_slice(b"\r\n");
        Self
    }
}

impl Encoder for Csv {
    fn rows(&mut self, rows: Vec<Row>, out: &mut Vec<u8>) -> anyhow::Result<()> {
        for row in rows {
            for (index, value) in row.values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                cell(value, out)?;
            }
            out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> anyhow::Result<()> {
        Ok(())
    }
}

fn cell(value: &Value, out: &mut Vec<u8>) -> anyhow::Result<()> {
    match value {
        Value::Null => {}
        Value::Id(id) => out.extend_from_slice(id.to_string().as_bytes()),
        Value::Instant(instant) => out.extend_from_slice(instant.to_string().as_bytes()),
        Value::Whole(number) => serde_json::to_writer(out, number)?,
        Value::Number(number) => serde_json::to_writer(out, number)?,
        Value::Decimal(number) => out.extend_from_slice(number.as_bytes()),
        Value::Object(object) => quoted("", object.get(), out),
        Value::Texts(texts) => quoted("", &serde_json::to_string(texts)?, out),
        Value::Text(text) => match text.starts_with(DANGEROUS) {
            true => quoted("'", text, out),
            false if text.is_empty() || text.contains([',', '"', '\r', '\n']) => {
                quoted("", text, out);
            }
            false => out.extend_from_slice(text.as_bytes()),
        },
    }
    Ok(())
}

fn quoted(before: &str, text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: Value) -> String {
        let mut out = Vec::new();
        cell(&value, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_like_formulas_are_defused_and_numbers_stay() {
        for (text, expected) in [
            ("=1+1", "\"'=1+1\""),
            ("+cmd|' /C calc'!A0", "\"'+cmd|' /C calc'!A0\""),
            ("-2", "\"'-2\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("=\"a\",b", "\"'=\"\"a\"\",b\""),
            ("a=b", "a=b"),
            ("a,b", "\"a,b\""),
            ("a\r\nb", "\"a\r\nb\""),
            ("", "\"\""),
            ("日本", "日本"),
        ] {
            assert_eq!(written(Value::Text(text.to_owned())), expected, "{text:?}");
        }
        assert_eq!(written(Value::Number(-2.5)), "-2.5");
        assert_eq!(written(Value::Whole(-2)), "-2");
        assert_eq!(written(Value::Null), "");
        let texts = vec!["=a".to_owned(), "b\"".to_owned()];
        assert_eq!(written(Value::Texts(texts)), r#""[""=a"",""b\""""]""#);
    }

    proptest! {
        /// Whatever a text holds: a reader gets it back, or it with an apostrophe before it.
        #[test]
        fn any_text_is_read_back(texts in prop::collection::vec("[=+@\t\r\n,\"'a-é]{0,8}", 1..6)) {
            let mut out = Vec::new();
            for (index, text) in texts.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                cell(&Value::Text(text.clone()), &mut out).unwrap();
            }
            out.extend_from_slice(b"\r\n");
            let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(&out[..]);
            let records: Vec<_> = reader.records().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(records.len(), 1);
            let read: Vec<&str> = records[0].iter().collect();
            for (read, text) in read.iter().zip(&texts) {
                prop_assert!(!read.starts_with(DANGEROUS), "{}", read);
                let safe = text.starts_with(DANGEROUS);
                prop_assert_eq!(read.to_string(), if safe { format!("'{text}") } else { text.clone() });
            }
            prop_assert_eq!(read.len(), texts.len());
        }
    }
}
