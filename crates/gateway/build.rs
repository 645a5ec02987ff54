//! Lists the recipes, so that a new one is one file.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=recipes");
    let mut list = BTreeSet::new();
    for entry in fs::read_dir("recipes")? {
        let file = entry?.file_name().into_string().unwrap_or_default();
        let Some(name) = file.strip_suffix(".json") else { continue };
        let path = format!("concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/recipes/{file}\")");
        list.insert(format!("(\"{name}\", include_str!({path})),\n"));
    }
    let list = list.into_iter().collect::<String>();
    fs::write(Path::new(&env::var("OUT_DIR")?).join("recipes.rs"), format!("[{list}]"))?;
    Ok(())
}
