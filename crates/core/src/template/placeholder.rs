//! Placeholders in texts: the only parser for the texts of messages, the templates of services and the requests of
//! recipes. Each of them defines its placeholders and the meaning of a brace.

/// A stretch of a text. All stretches together are the whole text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    pub raw: &'a str,
    pub kind: PieceKind<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind<'a> {
    Text,
    /// `{name}`. The name is everything between two braces, perhaps nothing.
    Single(&'a str),
    /// `{{name}}`, with a name of 1 to 64 letters, digits, `_` and `-`.
    Double(&'a str),
    /// `{{` or `}}`, where it is not part of a [`PieceKind::Double`].
    DoubleBrace(char),
    Stray(char),
}

pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (length, kind) = first(rest)?;
        let (raw, behind) = rest.split_at(length);
        rest = behind;
        Some(Piece { raw, kind })
    })
}

fn first(text: &str) -> Option<(usize, PieceKind<'_>)> {
    let brace = text.chars().next()?;
    if !matches!(brace, '{' | '}') {
        return Some((text.find(['{', '}']).unwrap_or(text.len()), PieceKind::Text));
    }
    if let Some(inside) = text.strip_prefix("{{") {
        let double = inside.split_once("}}").map(|(name, _)| name).filter(|name| is_name(name));
        return Some(
            double.map_or((2, PieceKind::DoubleBrace('{')), |name| (name.len() + 4, PieceKind::Double(name))),
        );
    }
    if text.starts_with("}}") {
        return Some((2, PieceKind::DoubleBrace('}')));
    }
    let inside = &text[1..];
    let end = inside.find(['{', '}']).filter(|end| brace == '{' && inside[*end..].starts_with('}'));
    Some(end.map_or((1, PieceKind::Stray(brace)), |end| (end + 2, PieceKind::Single(&inside[..end]))))
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}
