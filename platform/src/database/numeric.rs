//! PostgreSQL's `numeric` as it comes over the wire: digits of base 10,000, which are added up
//! to a whole number of the last decimal without a text in between.

/// Decimal digits of one digit on the wire.
const DIGITS: i16 = 4;
const BASE: i128 = 10_000;

/// The number in units of its last decimal, of which there are `scale`, a multiple of four;
/// `None` if it has more decimals, is not finite, or is beyond an `i128`.
pub(super) fn units(bytes: &[u8], scale: i16) -> Option<i128> {
    let (head, digits) = bytes.split_at_checked(8)?;
    let word = |at: usize| [head[at], head[at + 1]];
    let (count, weight) = (u16::from_be_bytes(word(0)), i16::from_be_bytes(word(2)));
    let is_negative = match u16::from_be_bytes(word(4)) {
        0 => false,
        0x4000 => true,
        // Infinite, or not a number.
        _ => return None,
    };
    if digits.len() != usize::from(count) * 2 {
        return None;
    }
    let mut units = 0_i128;
    for digit in digits.chunks_exact(2) {
        let digit = i128::from(u16::from_be_bytes([digit[0], digit[1]]));
        units = units.checked_mul(BASE)?.checked_add(digit)?;
    }
    // The first digit counts 10,000 to the power of `weight`; zero has no digit.
    let last = i32::from(weight) - i32::from(count) + 1;
    let missing = u32::try_from(last + i32::from(scale / DIGITS)).ok();
    if units != 0 {
        units = units.checked_mul(BASE.checked_pow(missing?)?)?;
    }
    Some(if is_negative { -units } else { units })
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row, ValueRef};

    use super::*;
    use crate::{database::Role, test_support::TestDatabase};

    /// A number as the wire has it.
    fn wire(weight: i16, sign: u16, digits: &[u16]) -> Vec<u8> {
        let count = u16::try_from(digits.len()).unwrap();
        let head = [count, weight as u16, sign, 0];
        let words = head.iter().chain(digits);
        words.flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn digits_are_added_up() {
        for (bytes, scale, expected) in [
            (wire(0, 0, &[]), 12, Some(0)),
            (wire(0, 0, &[7]), 0, Some(7)),
            (wire(1, 0, &[7]), 0, Some(70_000)),
            (wire(0, 0x4000, &[1, 2500]), 12, Some(-1_250_000_000_000)),
            (wire(-3, 0, &[1]), 12, Some(1)),
            // More decimals than there may be.
            (wire(-4, 0, &[1]), 12, None),
            (wire(-1, 0, &[1]), 0, None),
            // NaN and infinity.
            (wire(0, 0xc000, &[]), 0, None),
            (wire(0, 0xd000, &[]), 0, None),
            // Too large.
            (wire(9, 0, &[9999]), 0, None),
            (wire(i16::MAX, 0, &[1]), 12, None),
        ] {
            assert_eq!(units(&bytes, scale), expected, "{bytes:?}");
        }
        let whole = wire(0, 0, &[7]);
        for cut in 0..whole.len() {
            assert_eq!(units(&whole[..cut], 0), None, "{cut}");
        }
    }

    #[tokio::test]
    async fn what_the_database_sends_is_read() {
        let database = TestDatabase::create().await;
        let pool = database.pool(Role::Owner).await;
        for (text, scale, expected) in [
            ("0", 12, 0),
            ("0.000000000001", 12, 1),
            ("-12345.678900000001", 12, -12_345_678_900_000_001),
            ("10000", 0, 10_000),
            ("18446744073709551615", 0, i128::from(u64::MAX)),
            (
                "99999999999999999999999999.999999999999",
                12,
                10_i128.pow(38) - 1,
            ),
        ] {
            let sql = AssertSqlSafe(format!("select '{text}'::numeric"));
            let row = sqlx::query(sql).fetch_one(&pool).await.unwrap();
            let value = row.try_get_raw(0).unwrap();
            assert!(!value.is_null());
            assert_eq!(units(value.as_bytes().unwrap(), scale), Some(expected));
        }
    }
}
