//! Makes a table of the files of the dashboard page, `web/dist`, for `src/page.rs`.

use std::{env, error::Error, fs, io::Write, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("web/dist");
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    for folder in [dist.clone(), dist.join("assets")] {
        let entries = fs::read_dir(&folder)
            .map_err(|error| format!("{}: {error}; `make web` makes it", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();

    let table = Path::new(&env::var("OUT_DIR")?).join("page_files.rs");
    let mut table = fs::File::create(table)?;
    writeln!(table, "&[")?;
    for path in files {
        let name = path.strip_prefix(&dist)?.display().to_string();
        let place = path.display().to_string();
        writeln!(table, "    ({name:?}, include_bytes!({place:?})),")?;
    }
    writeln!(table, "]")?;
    Ok(())
}
