//! Live numbers in a data directory before the server under test starts.
//!
//! A server of the same program sends a code to one number and exports its record; the record of that number, under
//! other numbers, is imported. The bench knows the export format (`docs/backup.md`), but no format of the disk.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::load::Clients;
use crate::report::count;
use crate::script::live_number;
use crate::servers::Setup;

type Object = Map<String, Value>;

impl Setup<'_> {
    /// Makes `home/data` with numbers that wait for a code.
    pub async fn make_live_numbers(&self, name: &str, program: &Path, home: &Path) -> Result<()> {
        let numbers = self.options.live_numbers;
        self.progress.set_message(format!("{name}: writing {} live numbers", count(numbers)));
        let template_home = home.join("template");
        fs::create_dir(&template_home)?;
        let child = self.start_onceward("template", program, &template_home).await?;
        let clients = Clients::connect(child.address, self.options, &self.mock).await?;
        clients.probe().await.context("cannot make live numbers: the server")?;
        let export = self
            .onceward_command(program, &template_home)
            .args(["export", "--quiet", "--data-dir", "data"])
            .output()
            .context("cannot export a number")?;
        drop((clients, child));
        let template = template(&String::from_utf8_lossy(&export.stdout));
        let (header, number) = template.with_context(|| {
            format!("no number in the export. {}", String::from_utf8_lossy(&export.stderr))
        })?;
        let data = home.join("data");
        fs::DirBuilder::new().mode(0o700).create(&data)?;
        fs::copy(template_home.join("data/server.key"), data.join("server.key"))?;
        fs::remove_dir_all(&template_home)?;
        let import = self
            .onceward_command(program, home)
            .args(["import", "-", "--quiet", "--data-dir", "data"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot import live numbers")?;
        tokio::task::spawn_blocking(move || feed(import, header, number, numbers)).await?
    }
}

/// The first line of an export, and the record of its first number.
fn template(export: &str) -> Option<(Object, Object)> {
    let mut lines = export.lines().filter_map(|line| serde_json::from_str::<Object>(line).ok());
    let header = lines.next()?;
    Some((header, lines.find(|line| line.get("kind").and_then(Value::as_str) == Some("numbers"))?))
}

fn feed(mut import: Child, header: Object, number: Object, count: u64) -> Result<()> {
    let input = import.stdin.take().map(|input| BufWriter::with_capacity(1 << 20, input));
    let written = input.map_or(Ok(()), |input| write_export(input, header, number, count));
    let ended = import.wait_with_output()?;
    // A pipe that broke has its reason in what the import says.
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "cannot import live numbers: {}: {said}", ended.status);
    Ok(written?)
}

/// An export of `count` copies of a record, each under a number and with a salt of its own.
fn write_export(mut out: impl Write, header: Object, mut number: Object, count: u64) -> io::Result<()> {
    const NUMBER: &str = "__NUMBER__";
    const SALT: &str = "__SALT__";
    let mut sum = Sha256::new();
    let header = sealed(&unsealed(header)?);
    sum.update(&header);
    out.write_all(header.as_bytes())?;
    number.insert("subject".to_owned(), NUMBER.into());
    let record = number.get_mut("record");
    if let Some(salt) = record.and_then(|record| record.pointer_mut("/open/verification/salt")) {
        *salt = SALT.into();
    }
    // Serialised once: to serialise each line would take several times as long.
    let template = unsealed(number)?;
    for index in 0..count {
        let number = format!("+{}", live_number(index, count));
        let salt = u128::from(index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let line = sealed(&template.replace(NUMBER, &number).replace(SALT, &format!("{salt:032x}")));
        sum.update(&line);
        out.write_all(line.as_bytes())?;
    }
    let sha256 = base16ct::lower::encode_string(&sum.finalize());
    let end = [("kind", "end".into()), ("records", count.into()), ("sha256", sha256.into())];
    let end = end.map(|(name, value): (&str, Value)| (name.to_owned(), value));
    out.write_all(sealed(&unsealed(Map::from_iter(end))?).as_bytes())?;
    out.flush()
}

/// A line of an export, up to its checksum.
fn unsealed(mut line: Object) -> io::Result<String> {
    line.remove("crc32c");
    let mut text = serde_json::to_string(&line)?;
    text.pop();
    Ok(text)
}

/// The whole line, with its checksum.
fn sealed(line: &str) -> String {
    format!("{line},\"crc32c\":\"{:08x}\"}}\n", crc32c::crc32c(line.as_bytes()))
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
        write_export(&mut written, header, number, 3).unwrap();
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
