"""A CA's certificate, where one is given."""

from infra import certificate_authority

CA = certificate_authority.make("a test's CA").certificate
