//! Lists the recipes, so that a new one is one file.
#![expect(clippy::print_stdout, reason = "Cargo reads it")]

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::{env, fs, io};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=recipes");
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("recipes");
    let paths: Result<BTreeSet<_>, _> =
        fs::read_dir(folder)?.map(|entry| Ok::<_, io::Error>(entry?.path())).collect();
    let mut list = String::new();
    for path in paths? {
        if let (Some("json"), Some(name)) = (path.extension().and_then(|end| end.to_str()), path.file_stem())
        {
            list += &format!("({name:?}, include_str!({path:?})),\n");
        }
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("recipes.rs"), format!("[{list}]"))?;
    Ok(())
}
