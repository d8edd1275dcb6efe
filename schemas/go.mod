module github.com/ndmon/ndmon/schemas

go 1.26
