-- Room on the pages of rollups that are written again the most.
--
-- A sink that has much to read writes thousands of rollups again at once, and with them all rows
-- of a page. Only where each has room for its next version are they not put into the indexes
-- again: below half. What became of the others' room stays on the page for the versions after.
-- Chunks that are there take it for what they write from now on. Minutes are written again a few
-- times only, and are most of the rows: they stay as they are.

set local role flowmeter_owner;

alter table flowmeter.rollups_5m  set (fillfactor = 45);
alter table flowmeter.rollups_15m set (fillfactor = 45);
alter table flowmeter.rollups_1h  set (fillfactor = 45);
alter table flowmeter.rollups_1d  set (fillfactor = 45);
alter table flowmeter.rollups_1d_by_user set (fillfactor = 45);

reset role;
