//! Who is let in: globs over the names of a verified certificate, and SPIFFE ids.

use crate::certificate::{Name, listed};
use crate::error::{Error, ErrorKind};

const IDENTITIES_OPTION: &str = "allowed_identities";
const NODES_OPTION: &str = "node_identities";
const ROLES_OPTION: &str = "role_identities";
/// What stands for a node's id and for a role in a pattern.
const NODE_ID: &str = "{node_id}";
const ROLE: &str = "{role}";
/// The key of all nodes, or roles, that have no entry.
const ANY: &str = "*";
const SCHEME: &str = "spiffe://";
/// Longest SPIFFE id, in bytes (SPIFFE-ID section 2.3).
const ID_BYTES_MAX: usize = 2048;

/// Lists of whom to let in and whom not; who is on both stays out.
#[derive(Debug)]
pub(crate) struct Allowed {
    allow: Vec<Glob>,
    deny: Vec<Glob>,
}

impl Allowed {
    pub(crate) fn parse(patterns: &[String]) -> Result<Self, Error> {
        let (mut allow, mut deny) = (Vec::new(), Vec::new());
        for pattern in patterns {
            match pattern.strip_prefix('!') {
                Some(denied) => deny.push(Glob::parse(denied)?),
                None => allow.push(Glob::parse(pattern)?),
            }
        }
        Ok(Self { allow, deny })
    }

    /// Whether only those are let in who are named.
    pub(crate) fn is_restricted(&self) -> bool {
        !self.allow.is_empty()
    }

    /// Whether somebody without a certificate, who says to be `node_id`, may stay: nobody is on a
    /// list of names, and what a list denies nobody may call himself.
    pub(crate) fn admits_unproven(&self, node_id: &str) -> bool {
        let names = [Name::Dns(node_id.to_owned()), Name::Uri(node_id.to_owned())];
        let is_named = |glob: &Glob| names.iter().any(|name| glob.matches(name));
        !self.is_restricted() && !self.deny.iter().any(is_named)
    }

    pub(crate) fn check(&self, names: &[Name]) -> Result<(), Error> {
        let is_in = |list: &[Glob]| {
            names
                .iter()
                .any(|name| list.iter().any(|g| g.matches(name)))
        };
        if is_in(&self.deny) || (self.is_restricted() && !is_in(&self.allow)) {
            let detail = format!("its names: {}", listed(names));
            return Err(Error::with_detail(ErrorKind::IdentityNotAllowed, detail));
        }
        Ok(())
    }
}

/// Which names a certificate must have for its owner to be believed a node's id and its roles.
#[derive(Debug)]
pub(crate) struct Claims {
    nodes: Vec<(String, String)>,
    roles: Vec<(String, String)>,
}

impl Claims {
    pub(crate) fn parse(
        nodes: &[(String, String)],
        roles: &[(String, String)],
    ) -> Result<Self, Error> {
        for (patterns, option) in [(nodes, NODES_OPTION), (roles, ROLES_OPTION)] {
            for (_, pattern) in patterns {
                Glob::parse_for(pattern, "", "", option)?;
            }
        }
        Ok(Self {
            nodes: nodes.to_vec(),
            roles: roles.to_vec(),
        })
    }

    /// Whether claims are compared at all.
    pub(crate) fn are_compared(&self) -> bool {
        !self.nodes.is_empty() || !self.roles.is_empty()
    }

    /// Errs unless `names` hold the one that `node_id` must have, and one for each of `roles`.
    /// Where only one of the two is asked for, roles are still nobody's who cannot prove them.
    pub(crate) fn check(
        &self,
        node_id: &str,
        roles: &[String],
        names: &[Name],
    ) -> Result<(), Error> {
        let has = |pattern: &str, role: &str, option: &str| {
            let glob = Glob::parse_for(pattern, node_id, role, option);
            glob.is_ok_and(|glob| names.iter().any(|name| glob.matches(name)))
        };
        let is_node = || entry(&self.nodes, node_id).is_some_and(|one| has(one, "", NODES_OPTION));
        if !self.nodes.is_empty() && !is_node() {
            return Err(unproven(&format!("to be node {node_id}"), names));
        }
        let is_role = |role: &String| {
            entry(&self.roles, role).is_some_and(|one| has(one, role, ROLES_OPTION))
        };
        match roles.iter().find(|role| !is_role(role)) {
            Some(role) if self.are_compared() => Err(unproven(&format!("the role {role}"), names)),
            _ => Ok(()),
        }
    }
}

fn entry<'a>(patterns: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    let find = |wanted: &str| patterns.iter().find(|(key, _)| key == wanted);
    let found = find(wanted).or_else(|| find(ANY));
    found.map(|(_, pattern)| pattern.as_str())
}

fn unproven(claim: &str, names: &[Name]) -> Error {
    let detail = format!("it claims {claim}, its names: {}", listed(names));
    Error::with_detail(ErrorKind::IdentityNotAllowed, detail)
}

/// A pattern: `*` is any part of a DNS label or of a URI's path segment, `**` anything.
#[derive(Debug)]
struct Glob {
    is_uri: bool,
    tokens: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// Any bytes but the separator.
    Part,
    /// Any bytes.
    All,
}

impl Glob {
    fn parse(pattern: &str) -> Result<Self, Error> {
        Self::parse_for(pattern, NODE_ID, ROLE, IDENTITIES_OPTION)
    }

    /// A pattern in which a node's id and a role may stand; a star in them is no pattern.
    fn parse_for(pattern: &str, node_id: &str, role: &str, option: &str) -> Result<Self, Error> {
        if pattern.is_empty() {
            return Err(Error::configuration(option, "holds an empty pattern"));
        }
        let is_uri = pattern.contains("://") || pattern.starts_with("urn:");
        let literal = |byte: u8| match is_uri {
            true => Token::Byte(byte),
            false => Token::Byte(byte.to_ascii_lowercase()),
        };
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut rest = pattern.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            for (placeholder, filled) in [(NODE_ID, node_id), (ROLE, role)] {
                if let Some(behind) = after.strip_prefix(&placeholder.as_bytes()[1..])
                    && byte == b'{'
                {
                    tokens.extend(filled.bytes().map(literal));
                    rest = behind;
                }
            }
            if rest.len() < after.len() {
                continue;
            }
            match (byte, tokens.last()) {
                (b'*', Some(Token::Part | Token::All)) => {
                    tokens.pop();
                    tokens.push(Token::All);
                }
                (b'*', _) => tokens.push(Token::Part),
                _ => tokens.push(literal(byte)),
            }
        }
        Ok(Self { is_uri, tokens })
    }

    fn matches(&self, name: &Name) -> bool {
        match name {
            Name::Uri(text) => self.is_uri && self.matches_bytes(text.bytes(), b'/'),
            Name::Dns(text) | Name::Ip(text) => {
                let lower = text.bytes().map(|byte| byte.to_ascii_lowercase());
                !self.is_uri && self.matches_bytes(lower, b'.')
            }
        }
    }

    /// Follows all places in the pattern at once, so that no name, however long, takes more than
    /// its length times the pattern's.
    fn matches_bytes(&self, text: impl Iterator<Item = u8>, separator: u8) -> bool {
        let mut places = vec![false; self.tokens.len() + 1];
        places[0] = true;
        self.skip_stars(&mut places);
        for byte in text {
            let mut next = vec![false; places.len()];
            for (place, token) in self.tokens.iter().enumerate().filter(|(at, _)| places[*at]) {
                match token {
                    Token::Byte(wanted) => next[place + 1] |= *wanted == byte,
                    Token::Part => next[place] |= byte != separator,
                    Token::All => next[place] = true,
                }
            }
            self.skip_stars(&mut next);
            places = next;
        }
        places.last().copied().unwrap_or_default()
    }

    /// A star may stand for nothing.
    fn skip_stars(&self, places: &mut [bool]) {
        for (place, token) in self.tokens.iter().enumerate() {
            places[place + 1] |= places[place] && !matches!(token, Token::Byte(_));
        }
    }
}

/// The trust domain of a SPIFFE id (SPIFFE-ID section 2); `None` if it is no id of a workload.
pub(crate) fn trust_domain(uri: &str) -> Option<&str> {
    let rest = uri
        .strip_prefix(SCHEME)
        .filter(|_| uri.len() <= ID_BYTES_MAX)?;
    let (domain, path) = rest.split_once('/')?;
    let is_domain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_');
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let segment = |text: &str| !matches!(text, "" | "." | "..") && text.bytes().all(is_path);
    let is_sound = !domain.is_empty() && domain.bytes().all(is_domain);
    (is_sound && path.split('/').all(segment)).then_some(domain)
}

/// The one SPIFFE id among a certificate's names, and its trust domain.
pub(crate) fn spiffe_domain(names: &[Name]) -> Result<&str, Error> {
    let mut uris = names.iter().filter_map(|name| match name {
        Name::Uri(uri) => Some(uri.as_str()),
        _ => None,
    });
    let domain = match (uris.next(), uris.next()) {
        (Some(uri), None) => trust_domain(uri),
        _ => None,
    };
    domain.ok_or_else(|| {
        let detail = format!(
            "exactly one SPIFFE id is wanted; its names: {}",
            listed(names)
        );
        Error::with_detail(ErrorKind::IdentityNotAllowed, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lets_in(patterns: &[&str], name: &Name) -> bool {
        let patterns: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        let allowed = Allowed::parse(&patterns).unwrap();
        allowed.check(std::slice::from_ref(name)).is_ok()
    }

    fn uri(text: &str) -> Name {
        Name::Uri(text.to_owned())
    }

    fn dns(text: &str) -> Name {
        Name::Dns(text.to_owned())
    }

    #[test]
    fn a_star_stays_within_its_part_and_two_cross_it() {
        assert!(lets_in(&["*.example"], &dns("a.example")));
        assert!(!lets_in(&["*.example"], &dns("a.b.example")));
        assert!(lets_in(&["**.example"], &dns("a.b.example")));
        assert!(lets_in(&["node-*.example"], &dns("NODE-7.Example")));
        assert!(lets_in(
            &["spiffe://d/broker/*"],
            &uri("spiffe://d/broker/1.2")
        ));
        assert!(!lets_in(
            &["spiffe://d/broker/*"],
            &uri("spiffe://d/broker/1/2")
        ));
        assert!(lets_in(&["spiffe://d/**"], &uri("spiffe://d/broker/1/2")));
        assert!(!lets_in(&["spiffe://d/Broker"], &uri("spiffe://d/broker")));
        assert!(lets_in(&["10.0.*.*"], &Name::Ip("10.0.3.4".to_owned())));
    }

    #[test]
    fn kinds_of_names_are_kept_apart() {
        assert!(!lets_in(&["**"], &uri("spiffe://d/x")));
        assert!(!lets_in(&["**://**"], &dns("d.example")));
        assert!(lets_in(&["**://**"], &uri("spiffe://d/x")));
        assert!(lets_in(&["urn:node:*"], &uri("urn:node:7")));
    }

    #[test]
    fn a_denial_wins_and_denials_alone_let_others_in() {
        assert!(lets_in(&["!a.example"], &dns("b.example")));
        assert!(!lets_in(&["!a.example"], &dns("a.example")));
        assert!(!lets_in(&["*.example", "!a.example"], &dns("a.example")));
        assert!(!lets_in(&["*.example", "!a.example"], &dns("a.other")));
        let allowed = Allowed::parse(&["a".to_owned()]).unwrap();
        assert!(allowed.check(&[]).is_err() && allowed.is_restricted());
        assert!(Allowed::parse(&[String::new()]).is_err());
        assert!(Allowed::parse(&["!".to_owned()]).is_err());
    }

    #[test]
    fn a_node_id_is_proven_by_the_name_it_must_have() {
        let entry = |id: &str, pattern: &str| (id.to_owned(), pattern.to_owned());
        let nodes = [
            entry("special", "odd.example"),
            entry("*", "spiffe://d/{node_id}"),
        ];
        let claims = Claims::parse(&nodes, &[]).unwrap();
        let check = |id: &str, name: Name| claims.check(id, &[], &[name]).is_ok();
        assert!(check("a", uri("spiffe://d/a")) && check("special", dns("odd.example")));
        assert!(!check("a", uri("spiffe://d/b")) && !check("special", uri("spiffe://d/special")));
        assert!(!check("*", uri("spiffe://d/b")) && check("*", uri("spiffe://d/*")));
        assert!(claims.check("a", &[], &[]).is_err());
        let nothing = Claims::parse(&[], &[]).unwrap();
        assert!(nothing.check("a", &[], &[]).is_ok() && !nothing.are_compared());
        assert!(Claims::parse(&[entry("a", "")], &[]).is_err());
        assert!(Claims::parse(&[], &[entry("a", "")]).is_err());
    }

    #[test]
    fn each_role_is_proven_by_a_name_of_its_own() {
        let entry = |key: &str, pattern: &str| (key.to_owned(), pattern.to_owned());
        let roles = |roles: &[&str]| roles.iter().map(ToString::to_string).collect::<Vec<_>>();
        let by_role = [
            entry("*", "spiffe://d/{role}/{node_id}"),
            entry("gateway", "gw-*.example"),
        ];
        let claims = Claims::parse(&[], &by_role).unwrap();
        let names = [uri("spiffe://d/broker/a"), dns("gw-1.example")];
        let check = |id: &str, given: &[&str]| claims.check(id, &roles(given), &names).is_ok();
        assert!(check("a", &[]) && check("b", &[]));
        assert!(check("a", &["broker"]) && check("a", &["broker", "gateway"]));
        assert!(!check("b", &["broker"]) && !check("a", &["broker", "admin"]));
        // Where node ids are asked for and roles are not, nobody has a role.
        let claims = Claims::parse(&[entry("*", "**")], &[]).unwrap();
        let names = [dns("a.example")];
        assert!(claims.check("a", &[], &names).is_ok());
        assert!(claims.check("a", &roles(&["broker"]), &names).is_err());
        // Where nothing is asked for, both are taken as they are claimed.
        let claims = Claims::parse(&[], &[]).unwrap();
        assert!(claims.check("a", &roles(&["broker"]), &[]).is_ok());
    }

    #[test]
    fn only_ids_of_workloads_have_a_trust_domain() {
        assert_eq!(trust_domain("spiffe://a.b/c/d"), Some("a.b"));
        for wrong in [
            "spiffe://a.b",
            "spiffe://a.b/",
            "spiffe:///c",
            "spiffe://A.b/c",
            "spiffe://a.b/c/",
            "spiffe://a.b/../c",
            "spiffe://a.b:1/c",
            "spiffe://u@a.b/c",
            "spiffe://a.b/c?d",
            "https://a.b/c",
        ] {
            assert_eq!(trust_domain(wrong), None, "{wrong}");
        }
        assert_eq!(
            trust_domain(&format!("spiffe://a/{}", "c".repeat(2048))),
            None
        );
    }
}
