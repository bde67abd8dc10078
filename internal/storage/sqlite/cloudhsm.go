package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/cloudhsm"
)

// CloudHSM is the store of clusters.
func (db *DB) CloudHSM() cloudhsm.Store { return clusters{db} }

type clusters struct{ db *DB }

const (
	clusterColumns = `account, region, id, version, created_ms, body`
	selectCluster  = `SELECT ` + clusterColumns + ` FROM cluster WHERE account = ? AND region = ? AND id = ?`
	listClusters   = `SELECT ` + clusterColumns + ` FROM cluster WHERE account = ? AND region = ? ORDER BY created_ms, id`
	allClusters    = `SELECT ` + clusterColumns + ` FROM cluster ORDER BY created_ms, id`
	insertCluster  = `INSERT INTO cluster (` + clusterColumns + `) VALUES (?, ?, ?, ?, ?, ?)`
	updateCluster  = `UPDATE cluster SET version = version + 1, body = ?
		WHERE account = ? AND region = ? AND id = ? AND version = ?`
	deleteCluster = `DELETE FROM cluster WHERE account = ? AND region = ? AND id = ? AND version = ?`
)

func (s clusters) Cluster(ctx context.Context, scope arn.Scope, id string) (*cloudhsm.Cluster, error) {
	return readCluster(ctx, s.db.read, scope, id)
}

func (s clusters) Clusters(ctx context.Context, scope arn.Scope) ([]*cloudhsm.Cluster, error) {
	return readClusters(ctx, s.db.read, scope)
}

func (s clusters) AllClusters(ctx context.Context) ([]*cloudhsm.Cluster, error) {
	rows, err := s.db.read.QueryContext(ctx, allClusters)
	return collect(rows, err, scanCluster)
}

func (s clusters) Change(ctx context.Context, event *audit.Event, fn func(cloudhsm.Tx) error) error {
	return s.db.Change(ctx, event, func(tx *sql.Tx) error { return fn(clusterTx{ctx, tx}) })
}

func readCluster(ctx context.Context, q queryer, scope arn.Scope, id string) (*cloudhsm.Cluster, error) {
	c, err := scanCluster(q.QueryRowContext(ctx, selectCluster, scope.Account, scope.Region, id))
	return c, notFound(err)
}

func readClusters(ctx context.Context, q queryer, scope arn.Scope) ([]*cloudhsm.Cluster, error) {
	rows, err := q.QueryContext(ctx, listClusters, scope.Account, scope.Region)
	return collect(rows, err, scanCluster)
}

func scanCluster(row scanner) (*cloudhsm.Cluster, error) {
	var c cloudhsm.Cluster
	var created int64
	var body []byte
	if err := row.Scan(&c.Scope.Account, &c.Scope.Region, &c.ID, &c.Version, &created, &body); err != nil {
		return nil, err
	}
	c.Created = fromMillis(created)
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, fmt.Errorf("reading cluster %s: %w", c.ID, err)
	}
	return &c, nil
}

type clusterTx struct {
	ctx context.Context
	tx  *sql.Tx
}

func (t clusterTx) Cluster(scope arn.Scope, id string) (*cloudhsm.Cluster, error) {
	return readCluster(t.ctx, t.tx, scope, id)
}

func (t clusterTx) Clusters(scope arn.Scope) ([]*cloudhsm.Cluster, error) {
	return readClusters(t.ctx, t.tx, scope)
}

func (t clusterTx) Insert(c *cloudhsm.Cluster) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("writing cluster %s: %w", c.ID, err)
	}
	_, err = t.tx.ExecContext(t.ctx, insertCluster, c.Scope.Account, c.Scope.Region, c.ID, c.Version, millis(c.Created), string(body))
	return exists(err)
}

func (t clusterTx) Update(c *cloudhsm.Cluster) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("writing cluster %s: %w", c.ID, err)
	}
	err = swapped(t.tx.ExecContext(t.ctx, updateCluster, string(body), c.Scope.Account, c.Scope.Region, c.ID, c.Version))
	if err == nil {
		c.Version++
	}
	return err
}

func (t clusterTx) Delete(c *cloudhsm.Cluster) error {
	return swapped(t.tx.ExecContext(t.ctx, deleteCluster, c.Scope.Account, c.Scope.Region, c.ID, c.Version))
}
