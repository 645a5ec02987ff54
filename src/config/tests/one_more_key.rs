//! A new key needs only one field.

use super::*;
use crate::config::context::Context;
use crate::config::kind::{As, MaxChecks, settings};
use crate::config::schema::{Names, default_of, variable};
use crate::config::settings::Keys;

settings! {
    struct WithOneMore {
        #[serde(flatten)]
        keys: Keys,
        /// The number of owls that carry a letter.
        letter_owls: u8 as "As::<MaxChecks>" = 3,
    }
}

/// The key's value, the errors, and its row of `--print-config`.
fn owls(world: &World) -> (u8, Vec<String>, String) {
    let mut context = Context::of(&world.sources, &Names::of::<WithOneMore>(), true);
    let read: WithOneMore = context.read();
    let row = context.rows.iter().find(|row| row.key == "letter-owls").expect("a row");
    let row = format!("{} # {}", row.value, row.origin);
    let noted = match context.report.finish() {
        Ok(warnings) => warnings,
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    };
    (read.letter_owls, noted, row)
}

#[test]
fn a_key_is_one_field_with_its_description_its_kind_and_its_default() {
    let names = Names::of::<WithOneMore>();
    let schema = &names.keys["letter-owls"];
    assert_eq!(schema["description"], "The number of owls that carry a letter.");
    assert_eq!(
        (default_of(schema), variable("letter-owls").as_str()),
        (Some(3.into()), "ONCEWARD_LETTER_OWLS")
    );
    assert_eq!(owls(&World::empty()), (3, vec![], "3 # the default".to_owned()));
    let world = World::with_config(r#"{"letter-owls": "7"}"#);
    let (value, noted, row) = owls(&world);
    assert_eq!((value, noted), (7, vec![]));
    says(&row, &["7 # ", "key \"letter-owls\""]);
    let (value, noted, row) = owls(&world.variable("ONCEWARD_LETTER_OWLS", "9"));
    assert_eq!((value, noted, row.as_str()), (9, vec![], "9 # the environment, ONCEWARD_LETTER_OWLS"));
    let (_, noted, _) = owls(&World::with_config(r#"{"letter-owls": 101}"#));
    says(&noted[0], &["letter-owls = 101: it must be a whole number from 1 to 100", "key \"letter-owls\""]);
    let (_, noted, _) = owls(&World::with_config(r#"{"letter_owl": 1}"#));
    says(&noted[0], &["unknown", "did you mean \"letter-owls\"?"]);
}
