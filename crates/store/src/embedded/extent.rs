//! How much of a file was ever written.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::frame::RECORD_OVERHEAD;
use crate::LONGEST_RECORD;

/// The most zeros that a frame can end with: those of its last record, of which even the length may be zero.
const MOST_ZEROS: u64 = (RECORD_OVERHEAD + LONGEST_RECORD) as u64;

/// Reads a file up to the end of its last written part. Space that was only reserved reads as
/// zeros, and most of a segment is that: there is no need to read it, or memory to hold it.
///
/// But zeros that were written may look like space that was not: some file systems keep none of them, nor do tools that
/// copy sparsely. So those that a frame can end with are there in any case.
pub(super) fn read_written_part(file: &mut File, into: &mut Vec<u8>) -> io::Result<()> {
    let end = end_of_data(file)?.saturating_add(MOST_ZEROS);
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
        file.write_all_at(&content, 0).expect("written");
        assert_eq!(written_part(&mut file), content);
        file.sync_data().expect("synced");
        assert_eq!(written_part(&mut file), content);
    }

    #[test]
    fn zeros_that_a_frame_can_end_with_are_read_where_nothing_was_kept_of_them() {
        let mut file = tempfile::tempfile().expect("a file");
        file.set_len(RESERVED).expect("a length");
        file.write_all_at(b"the front of a frame", 4076).expect("written");
        let mut bytes = Vec::new();
        read_written_part(&mut file, &mut bytes).expect("read");
        assert!(bytes.len() as u64 >= 4096 + MOST_ZEROS, "{} bytes", bytes.len());
        assert!(bytes[4096..].iter().all(|byte| *byte == 0));
        file.set_len(5000).expect("a length");
        bytes.clear();
        read_written_part(&mut file, &mut bytes).expect("read");
        assert_eq!(bytes.len(), 5000);
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
