//! The small change of HTML: escaping, pictures inside the page, tables.

use std::fmt::{Display, Write};

use crate::Result;
use crate::insight::Picture;

/// A text as it stands in HTML or SVG, in or outside of an attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && !c.is_whitespace() => out.push('\u{fffd}'), // not allowed in XML, which SVG is
            c => out.push(c),
        }
    }
    out
}

/// A PNG inside the page.
pub(super) fn data_url(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64(png))
}

/// A picture as an element of the page.
pub(super) fn image(picture: &Picture, alt: &str) -> Result<String> {
    Ok(format!(
        "<img src=\"{}\" width=\"{}\" height=\"{}\" alt=\"{}\">",
        data_url(&picture.png()?),
        picture.width(),
        picture.height(),
        escaped(alt)
    ))
}

/// A table of two columns: names and values.
pub(super) fn pairs<V: Display>(rows: impl IntoIterator<Item = (impl AsRef<str>, V)>) -> String {
    let mut html = String::from("<table class=\"pairs\">\n");
    for (name, value) in rows {
        let _ = writeln!(html, "<tr><th>{}</th><td>{}</td></tr>", escaped(name.as_ref()), escaped(&value.to_string())); // text cannot fail
    }
    html + "</table>\n"
}

/// Bytes in 64 letters: three bytes are four letters of six bits.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().enumerate().fold(0u32, |bits, (i, &byte)| bits | u32::from(byte) << (16 - 8 * i));
        for i in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= three.len() { letter as char } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_s_examples_in_64_letters() {
        let examples = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]; // RFC 4648
        for (text, expected) in examples {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn names_cannot_become_elements() {
        assert_eq!(escaped("<b>\"R&D\"</b> 'x'\u{0}"), "&lt;b&gt;&quot;R&amp;D&quot;&lt;/b&gt; &#39;x&#39;\u{fffd}");
        assert_eq!(escaped("고양이 é"), "고양이 é");
        assert_eq!(pairs([("<i>", 1.5)]), "<table class=\"pairs\">\n<tr><th>&lt;i&gt;</th><td>1.5</td></tr>\n</table>\n");
    }
}
