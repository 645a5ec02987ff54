//! Reads Rust well enough to know which names a file uses: no comments, no strings, no tests.

/// A path used in code, with groups written out: `use a::{b, c}` is `a::b` and `a::c`.
#[derive(Debug, PartialEq, Eq)]
pub struct UsedPath {
    pub line: usize,
    pub segments: Vec<String>,
}

impl UsedPath {
    pub fn starts_with(&self, segments: &[&str]) -> bool {
        self.segments.len() >= segments.len() && self.segments.iter().zip(segments).all(|(a, b)| a == b)
    }

    pub fn mentions(&self, name: &str) -> bool {
        self.segments.iter().any(|segment| segment == name)
    }
}

/// The paths that a file uses outside its test modules.
pub fn paths_used(source: &str) -> Vec<UsedPath> {
    let code = without_test_modules(&blanked(source));
    let tokens = tokens(&code);
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let continues =
            at >= 2 && tokens[at - 1].is("::") && (tokens[at - 2].is_name() || tokens[at - 2].is(">"));
        if tokens[at].is_name() && !continues {
            at = read_path(&tokens, at, &[], &mut paths);
        } else {
            at += 1;
        }
    }
    paths
}

/// The names of the modules that a file declares for tests only, in files of their own.
pub fn test_modules_declared(source: &str) -> Vec<String> {
    let code = blanked(source);
    code.split("#[cfg(test)]")
        .skip(1)
        .filter_map(|after| after.trim_start().strip_prefix("mod ")?.split_once(';'))
        .map(|(name, _)| name.trim().to_owned())
        .filter(|name| name.chars().all(is_name_char))
        .collect()
}

struct Token<'a> {
    text: &'a str,
    line: usize,
}

impl Token<'_> {
    fn is(&self, text: &str) -> bool {
        self.text == text
    }

    fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c == '_' || c.is_alphabetic())
    }
}

const fn is_name_char(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let name_len = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
            let len = match name_len {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                len => len,
            };
            tokens.push(Token { text: &rest[..len], line: number + 1 });
            rest = rest[len..].trim_start();
        }
    }
    tokens
}

/// Reads the path, or the tree of paths, that begins at `at`; returns where it ends.
fn read_path(tokens: &[Token<'_>], at: usize, prefix: &[String], paths: &mut Vec<UsedPath>) -> usize {
    let mut segments = prefix.to_vec();
    let line = tokens[at].line;
    let mut next = at;
    while tokens.get(next).is_some_and(Token::is_name) {
        segments.push(tokens[next].text.to_owned());
        next += 1;
        if !tokens.get(next).is_some_and(|t| t.is("::")) {
            break;
        }
        if tokens.get(next + 1).is_some_and(|t| t.is("{")) {
            return read_group(tokens, next + 2, &segments, paths);
        }
        if !tokens.get(next + 1).is_some_and(Token::is_name) {
            break;
        }
        next += 1;
    }
    paths.push(UsedPath { line, segments });
    next
}

fn read_group(tokens: &[Token<'_>], mut at: usize, prefix: &[String], paths: &mut Vec<UsedPath>) -> usize {
    while let Some(token) = tokens.get(at) {
        if token.is("}") {
            return at + 1;
        }
        at = if token.is_name() { read_path(tokens, at, prefix, paths) } else { at + 1 };
        if tokens.get(at).is_some_and(|t| t.is("as")) {
            at += 2;
        }
    }
    at
}

/// The source with comments, strings and character literals replaced by spaces, line by line.
fn blanked(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip_comment(&chars, at).or_else(|| skip_literal(&chars, at));
        if let Some(end) = end {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

fn skip_comment(chars: &[char], at: usize) -> Option<usize> {
    match (chars.get(at)?, chars.get(at + 1)?) {
        ('/', '/') => Some(position(chars, at, |c| c == '\n')),
        ('/', '*') => {
            let mut depth = 1;
            let mut end = at + 2;
            while depth > 0 && end < chars.len() {
                match (chars[end], chars.get(end + 1)) {
                    ('/', Some('*')) => (depth, end) = (depth + 1, end + 2),
                    ('*', Some('/')) => (depth, end) = (depth - 1, end + 2),
                    _ => end += 1,
                }
            }
            Some(end.min(chars.len()))
        }
        _ => None,
    }
}

fn skip_literal(chars: &[char], at: usize) -> Option<usize> {
    let inside_name = at > 0 && is_name_char(chars[at - 1]);
    match chars[at] {
        '"' => Some(end_of_quoted(chars, at + 1, '"')),
        'r' if !inside_name || matches!(chars[at - 1], 'b' | 'c') => {
            let hashes = position(chars, at + 1, |c| c != '#') - (at + 1);
            if chars.get(at + 1 + hashes) != Some(&'"') {
                return None;
            }
            let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let body = at + 2 + hashes;
            let found = chars[body..].windows(close.len()).position(|w| w == close);
            Some(found.map_or(chars.len(), |offset| body + offset + close.len()))
        }
        // A lifetime has no closing quote right behind its first character.
        '\'' if chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'') => {
            Some(end_of_quoted(chars, at + 1, '\''))
        }
        _ => None,
    }
}

fn end_of_quoted(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn position(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|i| wanted(chars[*i])).unwrap_or(chars.len())
}

/// Removes what stands in `#[cfg(test)] mod name { .. }` from blanked code.
fn without_test_modules(code: &str) -> String {
    let mut parts = code.split("#[cfg(test)]");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let opens = part.find(['{', ';']).filter(|at| part[*at..].starts_with('{'));
        let skipped = match opens {
            Some(open) if part.trim_start().starts_with("mod ") => end_of_block(part, open),
            _ => 0,
        };
        out.extend(part[..skipped].chars().filter(|c| *c == '\n'));
        out.push_str(&part[skipped..]);
    }
    out
}

fn end_of_block(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (offset, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + offset + 1;
        }
    }
    code.len()
}

#[test]
fn groups_are_written_out() {
    let seen = read_as("use a::{b, c::{self, d}, e as f};\nx::<T>::y();");
    assert_eq!(seen, ["1 use", "1 a::b", "1 a::c::self", "1 a::c::d", "1 a::e", "2 x", "2 T"]);
}

#[test]
fn comments_strings_and_characters_are_not_code() {
    let source = r##"// a::b
        /* a /* b */ c */ let x: &'static str = "tokio::spawn \" {";
        let y = r#"hyper" {"#; let z = ['{', '\'', '"', b'x'];
        x"##;
    let seen = read_as(source);
    for name in ["tokio::spawn", "hyper", "a::b", "c"] {
        assert!(!seen.iter().any(|path| path.ends_with(&format!(" {name}"))), "{name}: {seen:?}");
    }
    assert_eq!(seen.last().map(String::as_str), Some("4 x"));
}

#[test]
fn test_modules_are_left_out_and_what_follows_is_not() {
    let source = "before::x;\n#[cfg(test)]\nmod tests {\n fn f() { inside::x }\n}\nafter::x;";
    assert_eq!(read_as(source), ["1 before::x", "6 after::x"]);
    assert_eq!(
        test_modules_declared("#[cfg(test)]\nmod model;\n#[cfg(test)]\nmod tests { use a; }"),
        ["model"]
    );
}

fn read_as(source: &str) -> Vec<String> {
    paths_used(source).iter().map(|p| format!("{} {}", p.line, p.segments.join("::"))).collect()
}
