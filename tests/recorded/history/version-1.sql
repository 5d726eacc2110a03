PRAGMA application_id=1919247215;
PRAGMA user_version=1;
PRAGMA auto_vacuum=INCREMENTAL;
BEGIN TRANSACTION;
CREATE TABLE actions (
	id INTEGER NOT NULL, 
	run TEXT NOT NULL, 
	host TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	ref TEXT NOT NULL, 
	project TEXT NOT NULL, 
	action TEXT NOT NULL, 
	why TEXT NOT NULL, 
	place TEXT NOT NULL, 
	held TEXT NOT NULL, 
	fate TEXT NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run) REFERENCES cycles (run) ON DELETE CASCADE
);
INSERT INTO "actions" VALUES(1,'000000000001','nas',1795176000.0,'file:/etc/motd','','change','commit','hosts/nas.yaml:9:3','','done','{"verb":"","follows":[],"fields":[{"field":"content","before":"0123456789ab","after":"ba9876543210"}],"diff":[],"notes":[],"removes":[],"brings":[],"unsure":null}');
CREATE TABLE cycles (
	run TEXT NOT NULL, 
	host TEXT NOT NULL, 
	fleet_commit TEXT, 
	began FLOAT NOT NULL, 
	seconds FLOAT NOT NULL, 
	status TEXT NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY (run)
);
INSERT INTO "cycles" VALUES('000000000001','nas','5f2c81a90b5f2c81a90b5f2c81a90b5f2c81a90b',1795176000.0,1.5,'converged','{"problem":null,"problem_kind":null,"hint":"","resources":3,"applied":null,"unknown":[],"released":{},"warnings":[],"projects":{},"message":"","advice":"","unconverged":{},"rolled_back":[],"evidence":null}');
CREATE TABLE deliveries (
	id TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	ended FLOAT, 
	body TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE deployments (
	id INTEGER NOT NULL, 
	run TEXT NOT NULL, 
	project TEXT NOT NULL, 
	host TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	project_commit TEXT NOT NULL, 
	status TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run) REFERENCES cycles (run) ON DELETE CASCADE
);
CREATE TABLE drifts (
	id TEXT NOT NULL, 
	host TEXT NOT NULL, 
	ref TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	first FLOAT NOT NULL, 
	ended FLOAT, 
	body TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "drifts" VALUES('d1','nas','file:/etc/motd','drift',1795176000.0,NULL,'{"id":"d1","host":"nas","ref":"file:/etc/motd","kind":"drift","fields":["content"],"diff":[],"first":1795176000.0,"last":1795176000.0,"ended":null,"how":"","commit":null,"place":"","held":"","evidence":[],"times":1,"flapping":false}');
CREATE TABLE incidents (
	id TEXT NOT NULL, 
	event TEXT NOT NULL, 
	opened FLOAT NOT NULL, 
	closed FLOAT, 
	body TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "incidents" VALUES('i1','drift',1795176000.0,NULL,'{"id":"i1","event":"drift","group":"","severity":"warning","opened":1795176000.0,"told":null,"touched":1795176000.0,"closed":null,"members":[{"host":"nas","ref":"file:/etc/motd","what":"it was edited","hint":"","lines":[],"tags":[],"since":1795176000.0,"seen":1795176000.0,"ended":null,"how":"","evidence":[],"times":1}],"done":"","commit":null,"more":0,"reopened":0,"tellings":0,"said":""}');
CREATE TABLE marks (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "marks" VALUES('key','value');
CREATE TABLE steps (
	id INTEGER NOT NULL, 
	run TEXT NOT NULL, 
	fate TEXT NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run) REFERENCES cycles (run) ON DELETE CASCADE
);
INSERT INTO "steps" VALUES(1,'000000000001','done','{"refs":["file:/etc/motd"],"title":"step for file:/etc/motd","output":""}');
CREATE TABLE views (
	host TEXT NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY (host)
);
INSERT INTO "views" VALUES('nas','{"host":"nas","tags":[],"status":"converged","since":1795176000.0,"problem":"","problem_kind":"","hint":"","commit":null,"behind":null,"resources":0,"pending":0,"drifted":0,"held":0,"unknown":0,"reasons":[],"suspended":"","sync":"enforce","intermittent":false,"projects":[]}');
INSERT INTO "views" VALUES('','{"version":"1","began":1795172400.0,"turned":1795176000.0,"source":{"url":"/srv/fleet","branch":"main","commit":"5f2c81a90b5f2c81a90b5f2c81a90b5f2c81a90b","subject":"Say welcome","newest":null,"read":1795176000.0,"problem":"","problem_kind":""},"times":{"nas":[1795176000.0,1795176000.0,null]}}');
CREATE INDEX cycles_by_host ON cycles (host, began);
CREATE INDEX cycles_by_time ON cycles (began);
CREATE INDEX drifts_by_end ON drifts (ended);
CREATE INDEX drifts_by_ref ON drifts (ref, first);
CREATE INDEX incidents_by_time ON incidents (opened);
CREATE INDEX incidents_by_end ON incidents (closed);
CREATE INDEX deliveries_by_end ON deliveries (ended);
CREATE INDEX actions_by_run ON actions (run);
CREATE INDEX actions_by_time ON actions (at);
CREATE INDEX actions_by_ref ON actions (ref, at);
CREATE INDEX actions_by_project ON actions (project, at);
CREATE INDEX steps_by_run ON steps (run);
CREATE INDEX deployments_by_project ON deployments (project, at);
CREATE INDEX deployments_by_run ON deployments (run);
COMMIT;
