//! What a file that is not ours looks like: the first bytes of the formats that people mistake for one another.

use super::container::MAGIC;

/// First bytes, and what they suggest. The first match counts.
const SIGNATURES: &[(&[u8], &str)] = &[
    (b"\x89NYA\n\x1a\n", TEXT_MODE),
    (b"\x89NYA\r\r\n", TEXT_MODE),
    (b"\x09NYA", TEXT_MODE),
    (b"\xef\xbf\xbdNYA", TEXT_MODE), // the first byte replaced by U+FFFD
    (b"\xc2\x89NYA", TEXT_MODE),     // the first byte re-encoded as UTF-8
    (b"PK\x03\x04", "a zip archive, as PyTorch's .pt and .pth files are"),
    (b"\x80\x02", PICKLE),
    (b"\x80\x03", PICKLE),
    (b"\x80\x04", PICKLE),
    (b"\x80\x05", PICKLE),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"GGUF", "a GGUF model"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with `git lfs pull`"),
    (b"<!DOCTYPE", WEB_PAGE),
    (b"<!doctype", WEB_PAGE),
    (b"<html", WEB_PAGE),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"{", "a JSON text"),
    (b"[", "a JSON text"),
];

const TEXT_MODE: &str = "one that was damaged by a transfer as text: copy it again in binary mode";
const PICKLE: &str = "a Python pickle, as old PyTorch files are";
const WEB_PAGE: &str = "a web page: the download went wrong";

/// What a file with these first bytes and this size seems to be; `None` if it begins as ours do.
pub(crate) fn looks_like(first: &[u8], size: u64) -> Option<&'static str> {
    if first.starts_with(&MAGIC) {
        return None;
    }
    if let Some((_, format)) = SIGNATURES.iter().find(|(signature, _)| first.starts_with(signature)) {
        return Some(format);
    }
    // safetensors: the length of a JSON header, little-endian, and that header
    if let Some((length, b'{')) =
        first.split_first_chunk().map(|(length, rest)| (u64::from_le_bytes(*length), rest.first().copied().unwrap_or(0)))
        && length <= size
    {
        return Some("a safetensors file, which holds weights alone");
    }
    Some("nothing that NyangTorch knows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_files_are_recognised() {
        for (first, format) in [
            (&b"PK\x03\x04\x00\x00\x08\x08"[..], "PyTorch"),
            (b"\x80\x02\x8a\nl\xfc\x9cF", "pickle"),
            (b"\x80\x04\x95", "pickle"),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"<!DOCTYPE html><html>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1", "LFS"),
            (b"\x40\0\0\0\0\0\0\0{\"a\"", "safetensors"),
            (b"\x40\0\0\0\0\0\0\x80{\"a\"", "nothing that"), // a header longer than the file
            (b"random words", "nothing that"),
            (b"", "nothing that"),
        ] {
            let said = looks_like(first, 1000).unwrap();
            assert!(said.contains(format), "{first:?}: {said}");
        }
        assert_eq!(looks_like(&MAGIC, 1000), None);
    }

    #[test]
    fn each_kind_of_damage_by_text_transfers_shows() {
        let magic = MAGIC.as_slice();
        let replaced = |from: &[u8], to: &[u8]| {
            let at = magic.windows(from.len()).position(|w| w == from).unwrap();
            [&magic[..at], to, &magic[at + from.len()..]].concat()
        };
        for damaged in [
            replaced(b"\r\n", b"\n"),
            replaced(b"\r\n", b"\r\r\n"),
            replaced(b"\x89", b"\x09"), // the eighth bit lost
            String::from_utf8_lossy(magic).into_owned().into_bytes(),
            magic.iter().map(|&b| char::from(b)).collect::<String>().into_bytes(), // Latin-1 to UTF-8
        ] {
            assert!(looks_like(&damaged, 1000).unwrap().contains("transfer as text"), "{damaged:x?}");
        }
    }
}
