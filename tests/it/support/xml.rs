//! XML as a tree, read with a real parser: a double accepts nothing that its provider would reject.

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Element {
    /// The namespace; empty if there is none.
    pub namespace: String,
    pub name: String,
    /// Namespace, name and value of each attribute.
    pub attributes: Vec<(String, String, String)>,
    pub children: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Text without escapes.
    Text(String),
    Element(Element),
}

impl Element {
    /// Parses a document. The error says what is wrong.
    pub fn parse(document: &str) -> Result<Self, String> {
        let mut reader = NsReader::from_str(document);
        reader.config_mut().check_comments = true;
        reader.config_mut().expand_empty_elements = true;
        // The first one stands for the document.
        let mut open = vec![Self::default()];
        loop {
            let event = reader.read_event().map_err(|error| error.to_string())?;
            match event {
                Event::Start(start) => open.push(Self::begin(&reader, &start)?),
                Event::End(_) => {
                    let element = open.pop().ok_or("nothing is open")?;
                    open.last_mut().ok_or("nothing is open")?.children.push(Node::Element(element));
                }
                Event::Text(text) => open.last_mut().ok_or("nothing is open")?.say(&text.xml10_content()),
                Event::GeneralRef(reference) => {
                    let character = reference.resolve_char_ref().map_err(|error| error.to_string())?;
                    let text = match character {
                        Some(character) => character.to_string(),
                        None => resolve_predefined_entity(&reference.xml10_content())
                            .ok_or("an entity without a definition")?
                            .to_owned(),
                    };
                    open.last_mut().ok_or("nothing is open")?.say(&text);
                }
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof => break,
                other => return Err(format!("{other:?} is not taken")),
            }
        }
        let [document] = <[Self; 1]>::try_from(open).map_err(|_| "an element is not closed")?;
        let stray =
            document.children.iter().any(|node| matches!(node, Node::Text(t) if !t.trim().is_empty()));
        let mut elements = document.elements().cloned();
        match (elements.next(), elements.next(), stray) {
            (Some(root), None, false) => Ok(root),
            _ => Err("it must have one root element and no text beside it".to_owned()),
        }
    }

    fn begin(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<Self, String> {
        let (namespace, local) = reader.resolver().resolve_element(start.name());
        let mut element =
            Self { namespace: namespace_of(&namespace)?, name: local.as_ref().to_owned(), ..Self::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let (namespace, local) = reader.resolver().resolve_attribute(attribute.key);
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            let value = value.map_err(|error| error.to_string())?.into_owned();
            element.attributes.push((namespace_of(&namespace)?, local.as_ref().to_owned(), value));
        }
        Ok(element)
    }

    fn say(&mut self, text: &str) {
        self.children.push(Node::Text(text.to_owned()));
    }

    pub fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The only child element with this name.
    pub fn only(&self, name: &str) -> Result<&Self, String> {
        let mut named = self.elements().filter(|element| element.name == name);
        match (named.next(), named.next()) {
            (Some(element), None) => Ok(element),
            _ => Err(format!("there must be one {name} in {}", self.name)),
        }
    }

    /// All text in the element, at any depth.
    pub fn text(&self) -> String {
        let parts = self.children.iter().map(|node| match node {
            Node::Text(text) => text.clone(),
            Node::Element(element) => element.text(),
        });
        parts.collect()
    }

    pub fn number<T: std::str::FromStr>(&self) -> Result<T, String> {
        str::parse::<T>(self.text().trim()).map_err(|_| format!("{} is not a number", self.name))
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attribute_in("", name)
    }

    pub fn attribute_in(&self, namespace: &str, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        attributes.find(|(ns, n, _)| ns == namespace && n == name).map(|(_, _, value)| value.as_str())
    }
}

fn namespace_of(resolved: &ResolveResult<'_>) -> Result<String, String> {
    match resolved {
        ResolveResult::Bound(namespace) => Ok(namespace.0.to_owned()),
        ResolveResult::Unbound => Ok(String::new()),
        ResolveResult::Unknown(prefix) => Err(format!("the prefix {prefix:?} is not declared")),
    }
}
