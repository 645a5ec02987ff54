//! Live numbers in a data directory before the server under test starts.
//!
//! A server of the same program sends a code to one number and exports its record; the record of that number, under
//! other numbers, is imported. The bench knows the export format (`docs/backup.md`), but no format of the disk.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::client::{Clients, Setup};
use crate::error::BenchError;
use crate::numbers::live;
use crate::script::Workload;
use crate::servers::{Onceward, start_onceward};

/// Makes `home/data` with `count` numbers that wait for a code; `progress` hears how many are written.
pub async fn fill(
    onceward: &Onceward<'_>,
    home: &Path,
    count: u64,
    setup: &Setup,
    progress: impl Fn(u64) + Send + 'static,
) -> Result<(), BenchError> {
    let template_home = home.join("template");
    fs::create_dir(&template_home).map_err(BenchError::io("make a directory for a server"))?;
    let child = start_onceward("template", onceward, &template_home).await?;
    let setup = Setup { workload: Workload::Send, connections: 1, ..setup.clone() };
    let failed = |what: String| BenchError::Refused(format!("cannot make live numbers: the server {what}"));
    Clients::connect(child.address()?, &setup).await?.probe().await.map_err(failed)?;
    let mut export = onceward.command(&template_home);
    export.args(["export", "--quiet", "--data-dir", "data"]);
    let export = export.output().map_err(BenchError::io("export a number"))?;
    drop(child);
    let prepare = || {
        let data = home.join("data");
        make_directory(&data)?;
        fs::copy(template_home.join("data/server.key"), data.join("server.key"))?;
        fs::remove_dir_all(&template_home)
    };
    prepare().map_err(BenchError::io("make a data directory"))?;
    let (header, number) = template(&String::from_utf8_lossy(&export.stdout)).ok_or_else(|| {
        let said = String::from_utf8_lossy(&export.stderr).trim_end().to_owned();
        BenchError::Refused(format!("cannot make live numbers: no record of a number in the export. {said}"))
    })?;
    let mut import = onceward.command(home);
    import.args(["import", "-", "--quiet", "--data-dir", "data"]);
    let imported = tokio::task::spawn_blocking(move || feed(import, header, number, count, progress)).await;
    let imported = imported.map_err(|error| BenchError::Refused(error.to_string()))?;
    imported.map_err(BenchError::io("import live numbers"))
}

fn make_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(path)
}

type Object = Map<String, Value>;

/// The first line of an export, and the record of its first number.
fn template(export: &str) -> Option<(Object, Object)> {
    let mut lines = export.lines().filter_map(|line| serde_json::from_str::<Object>(line).ok());
    let header = lines.next()?;
    Some((header, lines.find(|line| line.get("kind").and_then(Value::as_str) == Some("numbers"))?))
}

fn feed(
    mut import: Command,
    header: Object,
    number: Object,
    count: u64,
    progress: impl Fn(u64),
) -> io::Result<()> {
    let mut process = import.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let errors = process.stderr.take().map(|mut errors| {
        thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        })
    });
    let written = process.stdin.take().map_or(Ok(()), |input| {
        write_export(BufWriter::with_capacity(1 << 20, input), header, number, count, progress)
    });
    let status = process.wait()?;
    let said = errors.and_then(|errors| errors.join().ok()).unwrap_or_default();
    // A pipe that broke has its reason in what the import says.
    if !status.success() {
        return Err(io::Error::other(format!("{status}: {}", said.trim_end())));
    }
    written
}

/// An export of `count` copies of a record, each under a number and with a salt of its own.
fn write_export(
    mut out: impl Write,
    header: Object,
    mut number: Object,
    count: u64,
    progress: impl Fn(u64),
) -> io::Result<()> {
    let mut sum = Sha256::new();
    let mut write = |out: &mut dyn Write, line: &[u8]| {
        sum.update(line);
        out.write_all(line)
    };
    write(&mut out, sealed(header)?.as_bytes())?;
    // Written once, with places of fixed width: to serialise each line would take several times as long.
    number.insert("subject".to_owned(), Value::from(NUMBER_MARK));
    if let Some(salt) =
        number.get_mut("record").and_then(|record| record.pointer_mut("/open/verification/salt"))
    {
        *salt = Value::from(SALT_MARK);
    }
    let mut line = sealed(number)?.into_bytes();
    let place = |mark: &str| line.windows(mark.len()).position(|part| part == mark.as_bytes());
    let (number_at, salt_at) = (place(NUMBER_MARK), place(SALT_MARK));
    let sum_at = line.len() - SEAL_LENGTH;
    for index in 0..count {
        if let Some(at) = number_at {
            write!(&mut line[at..at + NUMBER_MARK.len()], "+{}", live(index, count))?;
        }
        if let Some(at) = salt_at {
            let salt = u128::from(index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
            write!(&mut line[at..at + SALT_MARK.len()], "{salt:032x}")?;
        }
        let crc = crc32c::crc32c(&line[..sum_at]);
        write!(&mut line[sum_at..], "{}", seal(crc))?;
        write(&mut out, &line)?;
        if (index + 1).is_multiple_of(500_000) {
            progress(index + 1);
        }
    }
    let mut end = Map::from_iter([("kind".to_owned(), "end".into()), ("records".to_owned(), count.into())]);
    let mut sha256 = String::new();
    for byte in sum.finalize() {
        let _ = write!(sha256, "{byte:02x}");
    }
    end.insert("sha256".to_owned(), sha256.into());
    out.write_all(sealed(end)?.as_bytes())?;
    out.flush()
}

/// As long as a number of the load with its plus, and as a salt.
const NUMBER_MARK: &str = "+__NUMBER___";
const SALT_MARK: &str = "_____________SALT_______________";

fn seal(crc: u32) -> String {
    format!(",\"crc32c\":\"{crc:08x}\"}}\n")
}

const SEAL_LENGTH: usize = ",\"crc32c\":\"00000000\"}\n".len();

/// A line with its checksum, which covers all before it.
fn sealed(mut line: Object) -> io::Result<String> {
    line.remove("crc32c");
    let mut text = serde_json::to_string(&line)?;
    text.pop();
    let seal = seal(crc32c::crc32c(text.as_bytes()));
    Ok(text + &seal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPORT: &str = r#"{"is":"onceward export","format":3,"key":"0f","crc32c":"00000000"}
{"kind":"numbers","service":0,"subject":"+12025550123","record":{"open":{"verification":{"salt":"00112233445566778899aabbccddeeff"}}},"crc32c":"00000000"}
{"kind":"delivery attempts","crc32c":"00000000"}
{"kind":"end","records":2,"sha256":"","crc32c":"00000000"}
"#;

    #[test]
    fn an_export_has_as_many_numbers_in_order_and_right_sums() {
        let (header, number) = template(EXPORT).unwrap();
        let mut written = Vec::new();
        write_export(&mut written, header, number, 3, |_| {}).unwrap();
        let text = String::from_utf8(written).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["key"]), (5, &Value::from("0f")));
        let numbers: Vec<_> = lines[1..4].iter().map(|line| line["subject"].as_str().unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.iter().all(|n| n.len() == 12), "{numbers:?}");
        let salt = |line: &Value| line.pointer("/record/open/verification/salt").cloned();
        assert_ne!(salt(&lines[1]), salt(&lines[2]));
        assert_eq!(lines[4]["records"], 3);
        for line in text.lines() {
            let (covered, seal) = line.split_once(",\"crc32c\":\"").unwrap();
            assert_eq!(seal, format!("{:08x}\"}}", crc32c::crc32c(covered.as_bytes())));
        }
    }
}
