-- That an agent CA was retired stands in its own row from now on, which outlives this schema. It ends today, for whoever looks at nothing else.
update public.certificate_authorities c
set metadata = coalesce(c.metadata, '{}') || jsonb_build_object('retiredAt', r.retired_at),
    not_after = least(c.not_after, r.retired_at),
    deleted_at = coalesce(c.deleted_at, r.retired_at),
    updated_at = now()
from ingest.retired_agent_cas r
where r.fingerprint_sha256 = c.fingerprint_sha256 and c.purpose = 'agent_ca';
