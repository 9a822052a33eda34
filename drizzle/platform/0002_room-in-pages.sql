-- A batch writes the rows of the agents that send together. An update that finds no room in its row's page moves it to a new
-- one, and adds to every index; rows that moved together have a page for themselves, are written together again, and find no
-- room again. With half of each page left free all of them stay in place (HOT), and vacuum has little to do.
alter table hosts set (fillfactor = 50);
--> statement-breakpoint
alter table agents set (fillfactor = 50);
