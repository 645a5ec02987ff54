//! Lists the recipes, so that a new one is one file.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=recipes");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir("recipes")? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        names.extend(name.strip_suffix(".json").map(str::to_owned));
    }
    let mut list = String::new();
    for name in names {
        let path = format!("concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/recipes/{name}.json\")");
        writeln!(list, "(\"{name}\", include_str!({path})),")?;
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("recipes.rs"), format!("[{list}]"))?;
    Ok(())
}
