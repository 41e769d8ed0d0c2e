//! Rust source taken apart: code, comments, and which lines only tests compile.

/// A Rust file, its lines still lines. What belongs to the other part is blank; texts in quotes are blank in both.
pub struct RustText {
    code: Vec<String>,
    comments: Vec<String>,
    test_lines: Vec<bool>,
    /// The modules that `#[cfg(test)] mod name;` brings in.
    pub test_modules: Vec<String>,
    /// Whether only tests compile this file.
    pub is_test: bool,
}

/// A line of code that users of a library run.
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: usize,
    /// Its code, without comments and quoted texts.
    pub code: &'a str,
}

impl RustText {
    /// Takes `text` apart.
    pub fn new(text: &str) -> Self {
        let (code, comments) = separate(text);
        let (test_lines, test_modules) = tests_in(&code);
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        RustText { code: lines(&code), comments: lines(&comments), test_lines, test_modules, is_test: false }
    }

    /// The lines of code, those of tests left out.
    pub fn shipped(&self) -> impl Iterator<Item = Line<'_>> {
        let kept = move |i: usize| !self.is_test && !self.test_lines.get(i).copied().unwrap_or(false);
        self.all().filter(move |line| kept(line.number - 1))
    }

    /// All lines of code.
    pub fn all(&self) -> impl Iterator<Item = Line<'_>> {
        self.code.iter().enumerate().map(|(i, code)| Line { number: i + 1, code })
    }

    /// The comment on a line, its slashes included; empty if there is none.
    pub fn comment(&self, number: usize) -> &str {
        number.checked_sub(1).and_then(|i| self.comments.get(i)).map_or("", |c| c.trim())
    }
}

/// Whether `code` has `token` with no letter, digit or underscore continuing it on either side.
pub fn has(code: &str, token: &str) -> bool {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let (starts, ends) = (word(token.chars().next()), word(token.chars().next_back()));
    code.match_indices(token).any(|(at, _)| {
        let (before, after) = (code[..at].chars().next_back(), code[at + token.len()..].chars().next());
        !(starts && word(before) || ends && word(after))
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Code,
    Comment,
    Quoted,
}

/// The code with the rest blanked, and the comments with the rest blanked.
fn separate(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut at = 0;
    while let Some(rest) = chars.get(at..).filter(|rest| !rest.is_empty()) {
        let in_word = at > 0 && chars.get(at - 1).is_some_and(|c| c.is_alphanumeric() || *c == '_');
        let (part, length) = next_part(rest, in_word);
        let length = length.clamp(1, rest.len());
        for &c in rest.iter().take(length) {
            code.push(if part == Part::Code || c == '\n' { c } else { ' ' });
            comments.push(if part == Part::Comment || c == '\n' { c } else { ' ' });
        }
        at += length;
    }
    (code, comments)
}

/// What `rest` starts with, and how many characters of it belong together.
fn next_part(rest: &[char], in_word: bool) -> (Part, usize) {
    let to = |stop: &dyn Fn(usize) -> bool, from: usize| (from..rest.len()).find(|&i| stop(i)).unwrap_or(rest.len());
    match rest {
        ['/', '/', ..] => (Part::Comment, to(&|i| rest[i] == '\n', 2)),
        ['/', '*', ..] => (Part::Comment, block_comment(rest)),
        ['"', ..] => (Part::Quoted, 1 + to(&|i| rest[i] == '"' && !escaped(rest, i), 1)),
        ['\'', '\\', ..] => (Part::Quoted, 1 + to(&|i| rest[i] == '\'', 3)),
        ['\'', _, '\'', ..] => (Part::Quoted, 3),
        ['r', '"' | '#', ..] if !in_word => raw_string(rest, 1),
        ['b' | 'c', 'r', '"' | '#', ..] if !in_word => raw_string(rest, 2),
        _ => (Part::Code, 1),
    }
}

/// Whether an odd number of backslashes stands before `i`.
fn escaped(rest: &[char], i: usize) -> bool {
    rest[..i].iter().rev().take_while(|c| **c == '\\').count() % 2 == 1
}

/// The length of a block comment; they nest.
fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < rest.len() {
        match rest[i..] {
            ['/', '*', ..] => (depth, i) = (depth + 1, i + 2),
            ['*', '/', ..] => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

/// A raw string whose hashes start at `prefix`; or code, for `r#name`.
fn raw_string(rest: &[char], prefix: usize) -> (Part, usize) {
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let start = prefix + hashes;
    if rest.get(start) != Some(&'"') {
        return (Part::Code, 1);
    }
    let ends = |i: usize| rest[i] == '"' && rest[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    let end = (start + 1..rest.len()).find(|&i| ends(i)).unwrap_or(rest.len());
    (Part::Quoted, end + 1 + hashes)
}

/// Which lines an item under `#[cfg(test)]` takes, and the modules that such items bring in from other files.
fn tests_in(code: &str) -> (Vec<bool>, Vec<String>) {
    let mut lines = vec![false; code.lines().count()];
    let mut modules = Vec::new();
    for start in ["#[cfg(test)]", "#[cfg(all(test"].iter().flat_map(|mark| code.match_indices(mark)).map(|(at, _)| at) {
        let end = start + item_end(&code[start..]);
        let line_of = |at: usize| code[..at].matches('\n').count();
        lines.iter_mut().take(line_of(end) + 1).skip(line_of(start)).for_each(|line| *line = true);
        let item = code[start..end].trim_end_matches(';');
        if let (Some((_, name)), false) = (item.rsplit_once("mod "), item.contains('{')) {
            modules.push(name.trim().to_owned());
        }
    }
    (lines, modules)
}

/// Where the item that `code` starts with ends: after its closing brace, or its semicolon if it has no braces.
fn item_end(code: &str) -> usize {
    let (mut braces, mut brackets) = (0, 0);
    for (i, c) in code.char_indices() {
        match c {
            '{' => braces += 1,
            '}' => braces -= 1,
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            _ => {}
        }
        if (c == '}' && braces == 0) || (c == ';' && braces == 0 && brackets == 0) {
            return i + 1;
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        separate(text).0
    }

    #[test]
    fn comments_and_quoted_texts_are_no_code() {
        for (text, want) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x \" y // z") g"#, "f(             ) g"),
            ("r\"a\" r#\"b\" \"# b\"c\" c", "              b    c"),
            ("let r#fn = br##\"\n\"# \"##;", "let r#fn =      \n      ;"),
            ("'\"' 'a 'b' '\\'' '\\u{1F600}' x", "    'a                      x"),
            ("&'static str", "&'static str"),
        ] {
            assert_eq!(code(text), want, "{text}");
        }
    }

    #[test]
    fn comments_keep_their_lines() {
        let rust = RustText::new("//! what\nfn f() {} // why\n\n/// doc\nfn g() {}\n");
        assert_eq!([1, 2, 3, 4, 5, 9, 0].map(|n| rust.comment(n)), ["//! what", "// why", "", "/// doc", "", "", ""]);
    }

    #[test]
    fn lines_of_tests_are_not_shipped() {
        let text = "fn a() {}\n#[cfg(test)]\nfn b(x: [u8; 2]) {\n  if x {}\n}\nfn c() {}\n#[cfg(test)]\nmod tests {\n fn d() {}\n}\n#[cfg(test)]\nmod e;\nfn f() {}";
        let rust = RustText::new(text);
        assert_eq!(rust.shipped().map(|l| l.number).collect::<Vec<_>>(), [1, 6, 13]);
        assert_eq!(rust.test_modules, ["e"]);
        assert_eq!(RustText { is_test: true, ..RustText::new(text) }.shipped().count(), 0);
    }

    #[test]
    fn a_token_is_not_part_of_a_longer_word() {
        assert!(has("println!(x)", "println!") && has("unsafe {", "unsafe") && has("x.stderr()", "stderr"));
        assert!(!has("eprintln!(x)", "println!") && !has("unsafe_code", "unsafe") && !has("from_ndarray::x", "ndarray::"));
    }
}
