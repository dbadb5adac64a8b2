"""The MES's database: approved orders on a board, each made by the operator who claims it first."""
