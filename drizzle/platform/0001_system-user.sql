-- agent_enrolment_tokens.created_by_id points at a user; a standalone database has no other one.
insert into "user" (id, name, email, role)
values ('system', 'CT-Ops system', 'system@ct-ops.invalid', 'system')
on conflict do nothing;
