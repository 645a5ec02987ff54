//! A route of the server as a table describes it.

/// A method at a path.
pub struct Endpoint {
    /// `GET`, `POST` or `DELETE`; `HEAD` goes with `GET`.
    pub method: Method,
    /// With the names of its parameters in braces.
    pub path: &'static str,
    /// Its name for programs that are made from the description.
    pub id: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What else is to be known.
    pub about: &'static str,
    /// Parameters of the path, with what they are.
    pub in_path: &'static [Param],
    /// Parameters of the query.
    pub in_query: &'static [Param],
    /// Headers that it reads.
    pub in_header: &'static [Param],
    /// Parameters of the body.
    pub in_body: &'static [Param],
    /// What a good request is answered.
    pub success: Success,
    /// Other statuses that occur, beside those of [`Dialect`].
    pub others: &'static [u16],
}

/// The methods that the routes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `DELETE`
    Delete,
}

/// What a good request is answered.
pub struct Success {
    /// The status.
    pub status: u16,
    /// What that means.
    pub about: &'static str,
    /// The body.
    pub content: Content,
}

/// A body of an answer.
pub enum Content {
    /// None.
    Nothing,
    /// JSON of this schema, with an example.
    Json(&'static str, fn() -> String),
    /// A page of a list: the schema of one thing, the key, and an example of one thing.
    List(&'static str, &'static str, fn() -> String),
    /// Text of this media type.
    Text(&'static str),
}

/// How a group of routes reads and refuses.
pub struct Dialect {
    /// The group's name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Who may ask.
    pub access: Access,
    /// The schema of its errors.
    pub error: &'static str,
    /// Media types of bodies, the first for examples.
    pub bodies: &'static [&'static str],
    /// The routes.
    pub endpoints: &'static [Endpoint],
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// Everybody, unless the server asks for a key.
    MayNeedKey,
    /// Whoever has a key or the account's token.
    NeedsKey,
}

/// A parameter.
#[derive(Clone, Copy)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it may be.
    pub kind: Type,
    /// What it means.
    pub about: &'static str,
    /// A value.
    pub example: &'static str,
}

/// What a parameter may be.
#[derive(Clone, Copy)]
pub enum Type {
    /// A text of at most so many characters.
    Text(usize),
    /// One without control characters.
    Note(usize),
    /// One without braces too, for messages.
    Line(usize),
    /// One with at most four digits besides: what messages call somebody.
    Name(usize),
    /// A text of this form.
    Pattern(&'static str),
    /// One of these words.
    Words(&'static [&'static str]),
    /// A whole number from and to.
    Whole(u32, u32),
    /// True or false.
    Boolean,
    /// A date.
    Date,
    /// Names of events, or what stands for all.
    Events,
    /// An object of texts, in a text or as it is.
    Pairs,
    /// An object with a phone number, as the Redis version's clients send it.
    User,
}

/// One that must be there.
pub const fn needed(name: &'static str, kind: Type, about: &'static str, example: &'static str) -> Param {
    Param { name, required: true, kind, about, example }
}

/// One that need not be there.
pub const fn optional(name: &'static str, kind: Type, about: &'static str, example: &'static str) -> Param {
    Param { name, required: false, kind, about, example }
}
