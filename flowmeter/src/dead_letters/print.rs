//! What is printed: tables for people, lines of JSON for programs.

use std::io::{ErrorKind, Write};

/// Writes to standard output. A reader that has gone, such as `head`, is no failure.
pub(super) fn out(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Text from a record, for a terminal: without what would control it.
pub(super) fn plain(text: &str) -> String {
    let seen = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(seen).collect()
}

/// Lines of cells, each column as wide as its widest cell; `right`: which are numbers.
pub(super) fn table(head: &[&str], right: &[usize], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widths = cells.map(|cell| cell.chars().count());
        widths
            .chain([head[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let head: Vec<String> = head.iter().map(|name| name.to_uppercase()).collect();
    let mut text = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let cells = row.iter().zip(&widths).enumerate();
        let line: Vec<String> = cells
            .map(|(n, (cell, width))| {
                if right.contains(&n) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Bytes as hexadecimal text.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_spaces_at_their_end() {
        let rows = [["é", "1", "x"], ["ab", "10", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(
            table(&["a", "n", "b"], &[1], &rows),
            "A    N  B\né    1  x\nab  10\n"
        );
    }

    #[test]
    fn a_record_cannot_control_a_terminal() {
        assert_eq!(plain("a\x1b[2J\n\0é"), "a\u{fffd}[2J\u{fffd}\u{fffd}é");
        assert_eq!(hex(b"\x00\xff"), "00ff");
    }
}
