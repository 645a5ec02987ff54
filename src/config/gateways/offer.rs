//! Whether a gateway has all it needs.

use super::super::report::Report;

/// What the sources have to offer for one gateway.
#[derive(Debug)]
pub enum Offer<T> {
    /// Everything.
    Ready(T),
    /// Too little, and nobody has to mind unless the gateway is asked for. The end of a sentence that
    /// begins with its name: what is missing.
    Lacking(String),
    /// Something wrong, which was noted.
    Broken,
}

impl<T> Offer<T> {
    /// The settings, if there are any.
    pub fn ready(self) -> Option<T> {
        match self {
            Self::Ready(settings) => Some(settings),
            Self::Lacking(_) | Self::Broken => None,
        }
    }

    /// Whether the gateway is configured, rightly or not.
    pub const fn is_given(&self) -> bool {
        !matches!(self, Self::Lacking(_))
    }

    /// Of a value that is absent after an error only.
    pub fn unless_broken(settings: Option<T>) -> Self {
        settings.map_or(Self::Broken, Self::Ready)
    }
}

/// Something without which a gateway cannot be used.
pub struct Need {
    /// What to set, for the error.
    pub shown: &'static str,
    /// The variables, any of which will do.
    pub names: &'static [&'static str],
    /// Whether none of them is given.
    pub absent: bool,
}

/// How much of a gateway's settings is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Nothing.
    Nothing,
    /// Too little, which was noted.
    Half,
    /// All that is needed. Some of it may be wrong.
    Whole,
}

/// Notes what is missing when some of a gateway's settings are given. What is there but cannot be
/// read, such as a file that is missing, has an error of its own already.
pub fn extent(
    gateway: &str,
    origins: &[String],
    variables: &[&str],
    needs: &[Need],
    report: &mut Report,
) -> Extent {
    if origins.is_empty() && !report.is_about(variables) {
        return Extent::Nothing;
    }
    let missing: Vec<&str> = needs
        .iter()
        .filter(|need| need.absent && !report.is_about(need.names))
        .map(|need| need.shown)
        .collect();
    if missing.is_empty() {
        return Extent::Whole;
    }
    let are = if missing.len() == 1 { "is" } else { "are" };
    let problem = format!(
        "some of its settings are given, but {} {are} missing. Set all of them, or none of them to do without {gateway}",
        missing.join(" and ")
    );
    let mut places = origins.to_vec();
    places.dedup();
    report.problem(gateway, problem, (!places.is_empty()).then(|| places.join("; ")));
    Extent::Half
}
