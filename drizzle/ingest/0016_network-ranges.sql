-- The range that a network is written with, or null for what is none: people write networks, and one of them must not
-- keep heartbeats from being stored. IPv4 that is written as IPv6 is IPv4. The second block is entered for IPv6 alone,
-- since a block that catches errors costs a subtransaction.
create or replace function ingest.network_range(cidr text) returns inet language plpgsql immutable strict as $$
declare
  range inet;
begin
  if cidr ~ '^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(/0*(3[0-2]|[12]?[0-9]))?$' then
    return cidr::inet;
  end if;
  if cidr !~ '^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/[0-9]{1,3})?$' then
    return null;
  end if;
  begin
    range := cidr::inet;
    if set_masklen(range, 128) <<= '::ffff:0:0/96' then
      if masklen(range) < 96 then
        return null;
      end if;
      return set_masklen(replace(host(range), '::ffff:', '')::inet, masklen(range) - 96);
    end if;
    return range;
  exception when others then
    return null;
  end;
end $$;
