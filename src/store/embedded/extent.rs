//! How much of a file was ever written.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Reads a file up to the end of its last written part. Space that was only reserved reads as
/// zeros, and most of a segment is that: there is no need to read it, or memory to hold it.
pub(super) fn read_written_part(file: &mut File, into: &mut Vec<u8>) -> io::Result<()> {
    let end = end_of_data(file)?;
    file.rewind()?;
    file.take(end).read_to_end(into)?;
    Ok(())
}

/// Where the last data ends. The whole length where the file system does not tell data from holes.
fn end_of_data(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = 0;
    while end < length {
        let data = match seek(file, SeekFrom::Data(end)) {
            Ok(data) => data,
            // No data behind this.
            Err(Errno::NXIO) => return Ok(end),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(length),
            Err(error) => return Err(error.into()),
        };
        // The end of the file counts as a hole, so there is always one.
        end = seek(file, SeekFrom::Hole(data))?;
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;

    use rustix::fs::{FallocateFlags, fallocate};

    use super::*;

    const RESERVED: u64 = 16 * 1024 * 1024;

    /// A file system may call reserved space data; then it is read, and is zeros.
    fn written_part(file: &mut File) -> Vec<u8> {
        let mut bytes = Vec::new();
        read_written_part(file, &mut bytes).expect("read");
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        bytes
    }

    #[test]
    fn what_was_written_into_reserved_space_is_read_whole() {
        let mut file = tempfile::tempfile().expect("a file");
        fallocate(&file, FallocateFlags::empty(), 0, RESERVED).expect("space");
        assert_eq!(written_part(&mut file), Vec::<u8>::new());
        let content: Vec<u8> = (1..=255).cycle().take(70_000).collect();
        file.write_all(&content).expect("written");
        assert_eq!(written_part(&mut file), content);
        file.sync_data().expect("synced");
        assert_eq!(written_part(&mut file), content);
    }

    #[test]
    fn data_behind_a_hole_is_not_missed() {
        let mut file = tempfile::tempfile().expect("a file");
        fallocate(&file, FallocateFlags::empty(), 0, RESERVED).expect("space");
        file.write_all_at(b"here", 0).expect("written");
        file.write_all_at(b"and there", RESERVED / 2).expect("written");
        let bytes = written_part(&mut file);
        assert!(bytes.starts_with(b"here") && bytes.ends_with(b"and there"));
    }

    #[test]
    fn a_file_without_reserved_space_is_read_whole() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"all of it").expect("written");
        assert_eq!(written_part(&mut file), b"all of it");
    }
}
