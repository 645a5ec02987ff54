//! The files of a package that are made of the program's arguments: manual pages, and completions for shells.
//!
//! `cargo run --example manual -- DIR` writes them into a directory: `man/*.1`, `onceward.bash`, `onceward.zsh` and
//! `onceward.fish`.

use std::path::Path;
use std::{env, fs, io};

use clap_complete::{Shell, generate};
use clap_mangen::Man;
use onceward::cli;

fn main() -> io::Result<()> {
    let dir = env::args_os().nth(1);
    let dir = dir.ok_or_else(|| io::Error::other("name the directory for the files: manual DIR"))?;
    write(Path::new(&dir))
}

fn write(dir: &Path) -> io::Result<()> {
    let pages = dir.join("man");
    fs::create_dir_all(&pages)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut file = fs::File::create(dir.join(format!("onceward.{shell}")))?;
        generate(shell, &mut cli::command(), "onceward", &mut file);
    }
    let mut program = cli::command();
    program.build();
    let mut commands = vec![program];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().cloned());
        let (man, mut page) = (Man::new(command), Vec::new());
        man.render(&mut page)?;
        // The text after the options has lists, whose lines are not to be joined.
        let page = String::from_utf8_lossy(&page).replace(".SH EXTRA\n", ".SH NOTES\n.nf\n");
        fs::write(pages.join(man.get_filename()), page)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn there_is_a_manual_page_for_each_command() {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path()).expect("written");
        let page = |name: &str| fs::read_to_string(dir.path().join(format!("man/{name}.1"))).expect(name);
        for part in [".TH onceward 1", "tracker", "check\\-data", ".SH NOTES\n.nf\nSettings come"] {
            assert!(page("onceward").contains(part), "no {part:?}");
        }
        for (name, part) in [("onceward-serve", "listen"), ("onceward-keys-create", "scope")] {
            assert!(page(name).contains(part), "{name}");
        }
    }

    #[test]
    fn shells_complete_the_names_of_commands() {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path()).expect("written");
        for shell in ["zsh", "fish"] {
            let script = fs::read_to_string(dir.path().join(format!("onceward.{shell}"))).expect(shell);
            for command in cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
        let completed = Command::new("bash")
            .arg("-c")
            .arg("source ./onceward.bash; COMP_WORDS=(onceward check); COMP_CWORD=1; _onceward onceward check onceward; echo \"${COMPREPLY[@]}\"")
            .current_dir(dir.path())
            .output()
            .expect("run bash");
        assert_eq!(String::from_utf8_lossy(&completed.stdout), "check-data\n", "{completed:?}");
    }
}
