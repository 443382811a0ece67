//! A server's side of a packet: what a request proves, and the fields of the reply.

use super::aead::{AeadKey, NONCE_BYTES_MAX};
use super::association::NtsFields;
use super::cookie::{CookieKeys, CookieText};
use super::establish::COOKIES;
use super::field::{
    FIELD_COOKIE, FIELD_UNIQUE_IDENTIFIER, UNIQUE_IDENTIFIER_BYTES, authenticator_bytes, field_bytes,
    open_authenticator, push_authenticator_of, push_field, write_field,
};
use crate::packet::HEADER_BYTES;

/// The longest identifier that is given back, in bytes: what fits beside a header and the shortest cookie.
const IDENTIFIER_BYTES_MAX: usize = 1024;

/// Why a request with NTS fields gets no authentic reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NtsRefusal {
    /// A field is missing, doubled or malformed: no reply at all.
    Fields,
    /// The cookie or the authenticator is not ours: [`NtsRequest::nak`] is what to send.
    Nak {
        /// To be given back.
        identifier: Vec<u8>,
    },
}

/// A request whose authenticator was verified.
#[derive(Debug, Clone)]
pub struct NtsRequest<'a> {
    identifier: &'a [u8],
    keys: CookieText,
    /// Cookies asked for.
    cookies: usize,
    length: usize,
}

impl<'a> NtsRequest<'a> {
    /// What `request` proves; none when it has no field of NTS and is a request like any other.
    pub fn open(request: &'a [u8], server: &CookieKeys) -> Option<Result<Self, NtsRefusal>> {
        let fields = NtsFields::find(request).ok()?;
        if fields.cookie.is_none() && fields.authenticator.is_none() {
            return None;
        }
        Some(Self::read(request.len(), &fields, server))
    }

    fn read(length: usize, fields: &NtsFields<'a>, server: &CookieKeys) -> Result<Self, NtsRefusal> {
        let (Some(identifier), Some(cookie), Some((covered, authenticator))) =
            (fields.identifier, fields.cookie, fields.authenticator)
        else {
            return Err(NtsRefusal::Fields);
        };
        // RFC 8915 section 5.3: 32 bytes at least.
        if fields.odd || !(UNIQUE_IDENTIFIER_BYTES..=IDENTIFIER_BYTES_MAX).contains(&identifier.len()) {
            return Err(NtsRefusal::Fields);
        }
        // RFC 8915 section 5.7: an unknown cookie and a wrong authenticator are both a NAK.
        let nak = || NtsRefusal::Nak { identifier: identifier.to_vec() };
        let keys = server.open_text(cookie).map_err(|_| nak())?;
        let to_server = AeadKey::new(keys.algorithm, keys.to_server()).ok_or_else(nak)?;
        open_authenticator(&to_server, covered, authenticator).ok_or_else(nak)?;
        let cookies = (1 + fields.placeholders).min(COOKIES);
        Ok(Self { identifier, keys, cookies, length })
    }

    /// The reply with this header and `field`, which is covered by the code (empty: none): never longer than the request, and with as
    /// many new cookies as were asked for and fit. None when not even one fits (a cookie of a shorter kind was sent): the client is to
    /// be told by a NAK.
    pub fn reply(
        &self,
        header: &[u8; HEADER_BYTES],
        field: &[u8],
        server: &CookieKeys,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Option<Vec<u8>> {
        let cookie_bytes = server.cookie_bytes(self.keys.algorithm);
        let cookie_field = field_bytes(cookie_bytes);
        let to_client = AeadKey::new(self.keys.algorithm, self.keys.to_client())?;
        let frame = HEADER_BYTES + field.len() + field_bytes(self.identifier.len());
        let count = (1..=self.cookies)
            .rev()
            .find(|count| frame + authenticator_bytes(&to_client, count * cookie_field) <= self.length)?;
        let mut packet = Vec::with_capacity(self.length);
        packet.extend(header);
        packet.extend(field);
        push_field(&mut packet, FIELD_UNIQUE_IDENTIFIER, self.identifier);
        let mut nonce = [0; NONCE_BYTES_MAX];
        let nonce = nonce.get_mut(..self.keys.algorithm.nonce_bytes())?;
        random(nonce);
        // Each cookie is made where it is sealed.
        let cookies = |plain: &mut [u8]| {
            plain.chunks_exact_mut(cookie_field).all(|field| {
                write_field(field, FIELD_COOKIE, cookie_bytes, |cookie| {
                    server.seal_into(&self.keys, random, cookie)
                })
            })
        };
        push_authenticator_of(&mut packet, &to_client, nonce, count * cookie_field, 0, cookies)
            .then_some(packet)
    }

    /// As if the request had been so long.
    #[cfg(test)]
    pub(super) fn of_length(self, length: usize) -> Self {
        Self { length, ..self }
    }

    /// The identifier that the reply gives back.
    pub fn identifier(&self) -> &'a [u8] {
        self.identifier
    }

    /// A NAK (RFC 8915 section 5.7): `header` with stratum 0 and `NTSN`, and the identifier; no other field.
    pub fn nak(header: &[u8; HEADER_BYTES], identifier: &[u8]) -> Vec<u8> {
        let mut packet = header.to_vec();
        push_field(&mut packet, FIELD_UNIQUE_IDENTIFIER, identifier);
        packet
    }
}
