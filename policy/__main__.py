"""The policy pack, as `pulumi preview --policy-pack policy` starts it."""

from pulumi_policy import EnforcementLevel, PolicyPack

from policy.crossguard import policies

PolicyPack("meshgate", policies(), EnforcementLevel.MANDATORY)
