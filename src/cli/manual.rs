//! `onceward completions` and `onceward man`: files that a package installs, made of the arguments.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::args::{Args, CompletedShell};
use super::{CommandError, CommandOutput};

/// The script for a shell.
pub fn completions(shell: CompletedShell) -> String {
    let shell = match shell {
        CompletedShell::Bash => Shell::Bash,
        CompletedShell::Zsh => Shell::Zsh,
        CompletedShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "onceward", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The page of the program, or files with the pages of all commands.
pub fn man(dir: Option<&Path>) -> Result<CommandOutput, CommandError> {
    let mut program = Args::command().disable_help_subcommand(true);
    program.build();
    let Some(dir) = dir else { return Ok(CommandOutput::of(page(&Man::new(program)))) };
    let failed =
        |source: io::Error| CommandError::File { action: "write into", path: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(failed)?;
    let mut commands = vec![program];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().cloned());
        let man = Man::new(command);
        let path = dir.join(man.get_filename());
        // Never through a link or into a file of another user.
        let _ = fs::remove_file(&path);
        let mut file = File::create_new(&path).map_err(failed)?;
        file.write_all(page(&man).as_bytes()).map_err(failed)?;
    }
    Ok(CommandOutput::default())
}

fn page(man: &Man) -> String {
    let mut page = Vec::new();
    // Writing into memory cannot fail.
    let _ = man.render(&mut page);
    // The text after the options has lists, whose lines are not to be joined.
    String::from_utf8_lossy(&page).replace(".SH EXTRA\n", ".SH NOTES\n.nf\n")
}
